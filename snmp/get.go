package snmp

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/gosnmp/gosnmp"
)

// maxGet is how many objects one GET asks for unless the target says otherwise; agents commonly take 60.
const maxGet = 60

// Get reads single objects and returns them in the order asked. An object that
// the agent does not have is a value that does not Exist (in v1 a noSuchName is
// turned into that); an answer with other names than asked is ErrUnexpected. On
// any error nothing is returned.
func (s *Session) Get(ctx context.Context, oids ...OID) ([]Variable, error) {
	q := query{op: "get", pdu: gosnmp.GetRequest, tries: 1 + s.target.Retries, timeout: s.target.Timeout}
	return s.getAll(ctx, q, oids)
}

// Probe is one GET with a number of tries and a timeout of its own, to learn
// whether the agent is up: a late reply to an earlier try counts. Any answer
// means up, so also a *StatusError and ErrUnexpected; ErrTimeout means no answer
// at all, ErrAuth an agent that refuses the v3 user.
func (s *Session) Probe(ctx context.Context, oid OID, tries int, timeout time.Duration) (Variable, error) {
	q := query{op: "get", pdu: gosnmp.GetRequest, tries: max(tries, 1), timeout: timeout}
	variables, err := s.getAll(ctx, q, []OID{oid})
	if err != nil {
		return Variable{}, err
	}
	return variables[0], nil
}

// Greet is one Get with a number of tries and a timeout of its own: a first
// request that brings more than a Probe. It says less than that when it fails: an
// agent may be silent about what it cannot answer.
func (s *Session) Greet(ctx context.Context, tries int, timeout time.Duration, oids ...OID) ([]Variable, error) {
	q := query{op: "get", pdu: gosnmp.GetRequest, tries: max(tries, 1), timeout: timeout}
	return s.getAll(ctx, q, oids)
}

func (s *Session) getAll(ctx context.Context, q query, oids []OID) ([]Variable, error) {
	for _, oid := range oids {
		if !oid.Valid() {
			return nil, fmt.Errorf("snmp get: %q is not an object identifier", shortName(string(oid)))
		}
	}
	defer s.conn.watch(ctx)()
	variables := make([]Variable, len(oids))
	positions := make([]int, len(oids))
	for i, oid := range oids {
		variables[i].OID, positions[i] = oid, i
	}
	whole := s.holds(oids)
	for len(positions) > 0 {
		n := len(positions)
		if !whole {
			n = s.fitting(oids[len(oids)-len(positions):])
		}
		if err := s.get(ctx, q, variables, positions[:n]); err != nil {
			return nil, fmt.Errorf("snmp get: %w", err)
		}
		positions = positions[n:]
	}
	return variables, nil
}

// holds says whether one GET may ask for all of these objects, whatever values were like
// so far: who asks for no more than that may count on one PDU, such as for the octets and the name of a port.
func (s *Session) holds(oids []OID) bool {
	size := replyOverhead
	for _, oid := range oids {
		size += VariableSize(oid, Value{}) + usualValue
	}
	return len(oids) <= s.target.MaxObjects && size <= s.bulk.replySize
}

// fitting is how many objects to ask for in one GET: as many as the reply is likely to hold.
func (s *Session) fitting(oids []OID) int {
	size := replyOverhead
	for i, oid := range oids[:min(len(oids), s.target.MaxObjects)] {
		if size += VariableSize(oid, Value{}) + int(math.Ceil(s.value)); size > s.bulk.replySize && i > 0 {
			return i
		}
	}
	return min(len(oids), s.target.MaxObjects)
}

// weigh learns from a reply what a value takes.
func (s *Session) weigh(variables []Variable, positions []int, size int) {
	if len(positions) < 10 {
		return // a long text or two say nothing of the others
	}
	for _, p := range positions {
		size -= VariableSize(variables[p].OID, Value{})
	}
	s.value = max(1, float64(size-replyOverhead)/float64(len(positions)))
}

// get fills the variables at the given positions. What is too big for the agent
// is halved, so the depth is bounded by the logarithm of Target.MaxObjects.
func (s *Session) get(ctx context.Context, q query, variables []Variable, positions []int) error {
	for len(positions) > 0 {
		s.names = s.names[:0]
		for _, p := range positions {
			s.names = append(s.names, string(variables[p].OID))
		}
		q.names = s.names
		a, err := s.ask(ctx, q)
		if err != nil {
			return err
		}
		missing := a.index - 1
		switch {
		case a.status == int(gosnmp.NoError):
			s.weigh(variables, positions, a.bytes)
			return fill(variables, positions, &a)
		case s.isV1() && a.status == int(gosnmp.NoSuchName) && (len(positions) == 1 || missing >= 0 && missing < len(positions)):
			// v1 refuses the whole request for one missing object: ask for the others.
			if len(positions) == 1 {
				missing = 0
			}
			variables[positions[missing]].Value = Value{kind: TypeNoSuchObject}
			variables[positions[missing]].At = a.at
			positions = append(append([]int(nil), positions[:missing]...), positions[missing+1:]...)
		case len(positions) > 1 && (a.status == int(gosnmp.TooBig) || a.status == int(gosnmp.NoSuchName) && s.isV1()):
			if err := s.get(ctx, q, variables, positions[:len(positions)/2]); err != nil {
				return err
			}
			positions = positions[len(positions)/2:]
		default:
			return a.failure()
		}
	}
	return nil
}

// fill takes over an answer if its names are those asked, in their order.
func fill(variables []Variable, positions []int, a *answer) error {
	if len(a.variables) != len(positions) {
		return fmt.Errorf("%w: %d objects for %d asked", ErrUnexpected, len(a.variables), len(positions))
	}
	for i, p := range positions {
		if name := trimDot(a.variables[i].Name); name != variables[p].OID {
			return fmt.Errorf("%w: %s in place of %s", ErrUnexpected, shortName(string(name)), shortName(string(variables[p].OID)))
		}
		variables[p].Value = newValue(&a.variables[i])
		variables[p].At = a.at
	}
	return nil
}
