"""The same work given to this scheduler and to what people use today, judged by the exchange."""
