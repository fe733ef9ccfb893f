"""The help of the command line: short pages of at most 60 lines, complete ones, and topics.

`panels` chooses what a page shows. `parameters` words options. `page` draws. `topics` holds texts.
"""
