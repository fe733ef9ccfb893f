"""What asyncio code shares: threads, task groups, serial workers and callbacks."""
