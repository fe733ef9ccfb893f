"""HTTP: connections, credentials, responses, and how responses are sent.

`credentials` tells who makes a call and `throttle` how often they may. `responses` are values,
`downloads` decides which bytes of an archive to send, and `sending` puts both on the wire.
`listener` accepts connections, `records` tells what happened.
"""
