"""Mirror tasks into a destination."""
