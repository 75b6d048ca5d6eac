"""HTTP and WebSocket: routes and schemas over a `NodeService` (see `ports`)."""
