"""Chat Completions, for clients that know nothing else: the same jobs, asked for and told in that API's words."""
