package snmp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/gosnmp/gosnmp"
)

// maxRefused ends a request that is flooded with messages that are no answer to it.
const maxRefused = 1000

var (
	errRefused  = errors.New("refused")   // this message is no answer; go on waiting
	errNoAnswer = errors.New("no answer") // this try's time is over
	errNetwork  = errors.New("network")   // not sent, or the stream broke; the next try may do better
)

// query is one request, whatever the number of tries it takes.
type query struct {
	op          string
	pdu         gosnmp.PDUType
	names       []string
	repetitions uint32
	tries       int
	timeout     time.Duration
}

// try is one message sent; an answer to any try of the request under way counts.
type try struct {
	id uint32
	at time.Time
}

// answer is a decoded reply. Its status may be an error.
type answer struct {
	status    int
	index     int
	variables []gosnmp.SnmpPDU
	at        time.Time // middle between sending the try that was answered and receiving the reply
	bytes     int
}

// failure is the answer's error-status as an error; nil when there is none.
func (a *answer) failure() error {
	if a.status == int(gosnmp.NoError) {
		return nil
	}
	return &StatusError{Status: statusName(a.status), Index: a.index}
}

// ask carries out a query and reports it to the observer.
func (s *Session) ask(ctx context.Context, q query) (answer, error) {
	start := time.Now()
	a, err := s.synced(ctx, q)
	result := "ok"
	switch {
	case errors.Is(err, ErrTimeout):
		result = "timeout"
	case errors.Is(err, ErrAuth):
		result = "auth"
	case err != nil || a.status != 0 && !(s.isV1() && a.status == int(gosnmp.NoSuchName)):
		result = "error"
	}
	s.observe(q.op, result, time.Since(start))
	return a, err
}

func (s *Session) isV1() bool { return s.packet.Version == gosnmp.Version1 }

// synced is the query for v3 too: it discovers the engine first, and again when
// the agent has become another engine; when the agent's clock has moved, it asks
// once more with the new one. An agent that keeps reporting is given up.
func (s *Session) synced(ctx context.Context, q query) (answer, error) {
	for resyncs := 0; ; resyncs++ {
		if err := s.discover(ctx, q); err != nil {
			return answer{}, err
		}
		a, err := s.attempt(ctx, q, false)
		if errors.Is(err, ErrTimeout) && s.isIgnored(ctx, q) {
			return a, fmt.Errorf("%w: the agent shows its engine and ignores the request: wrong privacy protocol, password or context", ErrAuth)
		}
		var report *reportError
		if !errors.As(err, &report) || resyncs == 2 {
			return a, err
		}
		switch report.name {
		case reportTime: // the clock is set already
		case reportEngine:
			s.usm.forget()
		default:
			return a, err
		}
	}
}

// isIgnored tells a v3 agent that is silent about our credentials from a dead
// one: net-snmp drops what it cannot decrypt and what is for a context that it
// does not have. It asks for the engine once more; only as long as no reply has
// been accepted, after which the credentials cannot be at fault.
func (s *Session) isIgnored(ctx context.Context, q query) bool {
	if s.usm == nil || s.usm.trusted {
		return false
	}
	q.tries = 1
	_, err := s.attempt(ctx, q, true)
	return err == nil
}

// discover makes the engine known; it does nothing for v1, v2c and a known engine.
func (s *Session) discover(ctx context.Context, q query) error {
	if s.usm == nil || s.usm.engine != "" {
		return nil
	}
	_, err := s.attempt(ctx, q, true)
	return err
}

// attempt sends a message until one of its tries is answered. Instead of the
// query's message it may be the discovery of the engine, which has no answer but its effect.
func (s *Session) attempt(ctx context.Context, q query, discovering bool) (answer, error) {
	s.sent = s.sent[:0]
	refused, note, reopened := 0, "", false
	for n := 0; n < q.tries; n++ {
		if err := ctx.Err(); err != nil {
			return answer{}, err
		}
		a, err := s.once(ctx, q, discovering, &refused)
		switch {
		case err == nil:
			return a, nil
		case ctx.Err() != nil:
			return answer{}, ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return answer{}, net.ErrClosed
		case errors.Is(err, errTruncated): // the buffer has its full size now: this happens once
			n--
		case errors.Is(err, errNoAnswer):
		case errors.Is(err, errBroken) && !reopened: // an agent may close a stream between two requests
			reopened = true
			n--
		case errors.Is(err, errNetwork):
			note = detail(err.Error())
		default:
			return answer{}, err
		}
	}
	s.stats.Timeouts++
	if refused > 0 {
		note = fmt.Sprintf("%d messages refused", refused)
	}
	if note != "" {
		return answer{}, fmt.Errorf("%w (%s)", ErrTimeout, note)
	}
	return answer{}, ErrTimeout
}

// once is one try: send the message, wait for an answer to it or to an earlier try.
func (s *Session) once(ctx context.Context, q query, discovering bool, refused *int) (answer, error) {
	id := newID()
	message, err := s.encode(q, id, discovering)
	if err != nil {
		return answer{}, err
	}
	now := time.Now()
	deadline := now.Add(q.timeout)
	if limit, ok := ctx.Deadline(); ok && limit.Before(deadline) {
		deadline = limit
	}
	if err := s.conn.send(ctx, message, deadline); err != nil {
		if !errors.Is(err, net.ErrClosed) {
			sleepUntil(ctx, deadline) // a network that is away for a moment must not use up all tries at once
		}
		return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
	}
	if len(s.sent) > 0 {
		s.stats.Retries++
	}
	s.sent = append(s.sent, try{id: id, at: now})
	s.stats.Requests++
	for {
		message, err := s.conn.receive(deadline)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if ctx.Err() == nil && deadline.Before(now.Add(q.timeout)) {
				return answer{}, context.DeadlineExceeded // ctx's own timer fires a moment later
			}
			return answer{}, errNoAnswer
		case errors.Is(err, errTruncated):
			return answer{}, err
		case err != nil:
			return answer{}, fmt.Errorf("%w: %w", errNetwork, err)
		}
		a, err := s.accept(message, discovering)
		if !errors.Is(err, errRefused) {
			return a, err
		}
		s.stats.Refused++
		if *refused++; *refused > maxRefused {
			return answer{}, fmt.Errorf("%w: flooded", ErrUnexpected)
		}
	}
}

// sleepUntil waits for a time or the end of ctx.
func sleepUntil(ctx context.Context, t time.Time) {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// newID is a request id (and v3 message id) that cannot be guessed; never 0, which some agents answer with.
func newID() uint32 { return 1 + rand.Uint32N(1<<31-1) }

// accept checks a received message against the request under way and decodes it.
func (s *Session) accept(message []byte, discovering bool) (answer, error) {
	received := time.Now()
	e, ok := parseEnvelope(message)
	if !ok || e.version != int(s.packet.Version) {
		return answer{}, errRefused
	}
	var asked try
	for _, t := range s.sent {
		if t.id == e.id {
			asked = t
		}
	}
	if asked.id == 0 {
		return answer{}, errRefused
	}
	message = message[:e.length]
	switch {
	case discovering:
		if !isDiscovered(&e) {
			return answer{}, errRefused
		}
		return answer{}, s.adopt(&e)
	case s.usm != nil:
		if err := s.usm.judge(message, &e); err != nil {
			return answer{}, err
		}
	case string(e.community) != string(s.community) || gosnmp.PDUType(e.pdu) != gosnmp.GetResponse:
		return answer{}, errRefused
	case !e.sound:
		return answer{}, fmt.Errorf("%w: a length points outside of its message", ErrUnexpected)
	}
	a, err := s.decode(append([]byte(nil), message...), asked.id)
	if err != nil {
		if e.encrypted && !s.usm.trusted && errors.Is(err, errUndecodable) {
			err = fmt.Errorf("%w: the first reply cannot be decrypted", ErrAuth)
		}
		return answer{}, err
	}
	if s.usm != nil {
		s.usm.trusted = true
	}
	s.stats.Replies++
	a.at = asked.at.Add(received.Sub(asked.at) / 2)
	return a, nil
}

// adopt takes over the engine that a discovery has shown.
func (s *Session) adopt(e *envelope) error {
	s.stats.Replies++
	if err := s.usm.adopt(e); err != nil {
		return err
	}
	s.decoder.SecurityParameters, s.packet.SecurityParameters = s.usm.params, s.usm.params
	s.packet.ContextEngineID = s.usm.engine
	return nil
}
