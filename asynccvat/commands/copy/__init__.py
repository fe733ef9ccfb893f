"""Copy tasks from one server or organization to another."""
