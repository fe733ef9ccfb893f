"""The options of each verb. `transfer` has what all of them share."""
