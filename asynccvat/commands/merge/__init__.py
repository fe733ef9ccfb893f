"""`merge`: the tasks of mirrors become one data set."""
