package cluster

import "time"

// Hurry shortens the pauses of a registry for tests.
func (r *Registry) Hurry(every, patience time.Duration) { r.every, r.patience = every, patience }

// Hurry shortens the pauses of a watch for tests.
func (w *Watch) Hurry(every time.Duration) { w.every = every }

// Decodable shows decodable to tests beside asynq.
func Decodable(message []byte) bool { return decodable(message) }
