package cluster

import "github.com/redis/go-redis/v9"

// Client is a connection to Redis of any kind, as Connect returns it; it lets
// whoever wires a program pass it on without knowing the library.
type Client = redis.UniversalClient
