"""What is sent and received: URLs, headers, ranges, responses and retries, as values."""
