"""Keep a mirror up to date: rounds, the calls for changes, webhooks and pages."""
