"""Download tasks into folders of their own, without receipts."""
