"""What the sidecar adds to a request, beside the exchange itself and a bare forwarder."""
