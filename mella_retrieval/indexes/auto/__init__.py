"""Choose an index by its needs, estimate what it costs, and tune its search on queries like those that will be asked."""
