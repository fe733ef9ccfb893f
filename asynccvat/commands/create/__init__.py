"""Create tasks from images, videos and zips, at most once each."""
