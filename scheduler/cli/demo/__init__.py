"""`margin-scheduler demo`: one burst of requests, sent in two ways, and what came of each."""
