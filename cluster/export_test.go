package cluster

import "time"

// Hurry shortens the pauses of a registry for tests.
func (r *Registry) Hurry(every, patience time.Duration) { r.every, r.patience = every, patience }

// Hurry makes a member look and report often, with windows of a second.
func (m *Member) Hurry(every time.Duration) {
	m.pace = pace{orders: every, state: every, row: every, window: time.Second}
	m.registry.Hurry(every, time.Second)
}

// Hurry shortens the pauses of a watch for tests.
func (w *Watch) Hurry(every time.Duration) { w.every = every }

// Decodable shows decodable to tests beside asynq.
func Decodable(message []byte) bool { return decodable(message) }
