package simulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"golang.org/x/net/ipv4"
)

// worker serves one socket.
type worker struct {
	agent     *Agent
	socket    socket
	responder responder
	packets   []packet
	in, out   []ipv4.Message
}

// packet is the memory of one packet of a batch.
type packet struct {
	control []byte
	reply   []byte
	vector  [1][]byte
}

func newWorker(a *Agent, s socket) *worker {
	w := &worker{agent: a, socket: s, packets: make([]packet, s.size), in: make([]ipv4.Message, s.size)}
	w.responder = responder{community: a.config.Community.Reveal(), limit: a.config.MaxMessage, layout: a.layout, narrow: a.narrow, library: a.library, usm: a.usm, cast: a.cast}
	if a.ledger != nil {
		w.responder.at.truth = &truth{}
	}
	for i := range w.in {
		w.packets[i].control = make([]byte, controlSpace)
		w.in[i] = ipv4.Message{Buffers: [][]byte{make([]byte, maxRequest)}, OOB: w.packets[i].control}
	}
	return w
}

// run answers until the read deadline of the socket is set into the past.
func (w *worker) run() error {
	for {
		n, err := w.socket.batch.ReadBatch(w.in, 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read requests: %w", err)
		}
		w.agent.counts.requests.Add(uint64(n))
		w.out = w.out[:0]
		for i := range w.in[:n] {
			if !w.handle(i) {
				w.agent.counts.dropped.Add(1)
			}
		}
		if w.agent.ledger != nil {
			if err := w.agent.ledger.take(w.responder.at.truth); err != nil {
				return fmt.Errorf("write the log of answers: %w", err)
			}
		}
		w.agent.send(w.socket.batch, w.out)
	}
}

// handle answers packet i of the batch; false = it gets no reply.
func (w *worker) handle(i int) bool {
	in, p := &w.in[i], &w.packets[i]
	control := p.control[:in.NN]
	device, ok := w.device(control)
	config := &w.agent.config
	if !ok || w.agent.model.Dead(device) || config.Loss > 0 && rand.Float64() < config.Loss {
		return false
	}
	sent := time.Now()
	part := w.agent.cast.of(device, sent.UnixNano())
	if part.lose > 0 && rand.Float64() < part.lose {
		return false
	}
	delay := w.delay() + part.hold
	var reply []byte
	mark := w.responder.at.truth.length()
	w.responder.at.source = sourcePort(in.Addr)
	reply, p.reply = w.responder.reply(in.Buffers[0][:in.N], device, config.Now().Add(delay/2).UnixNano(), p.reply)
	if reply == nil {
		return false
	}
	if w.responder.mutated.inside || w.responder.mutated.whole {
		w.agent.counts.damaged.Add(1)
	}
	w.responder.at.truth.noteReply(&w.responder.at, mark)
	answerFrom(control)
	if delay > 0 {
		if w.agent.delayed.add(sent.Add(delay), w.socket.batch, reply, control, in.Addr) {
			return true
		}
		w.responder.at.truth.cut(mark)
		return false
	}
	p.vector[0] = reply
	w.out = append(w.out, ipv4.Message{Buffers: p.vector[:], OOB: control, Addr: in.Addr})
	return true
}

// sourcePort is the port of who asks.
func sourcePort(from net.Addr) uint16 {
	if udp, ok := from.(*net.UDPAddr); ok {
		return uint16(udp.Port)
	}
	return 0
}

// device is whom a packet with this control message was sent to.
func (w *worker) device(control []byte) (int, bool) {
	if w.socket.device != byDestination {
		return w.socket.device, true
	}
	address, ok := destination(control)
	if !ok {
		return 0, false
	}
	return w.agent.addresses.device(address)
}

// delay is how long the next reply is held back.
func (w *worker) delay() time.Duration {
	config := &w.agent.config
	if config.Jitter == 0 {
		return config.Latency
	}
	return max(0, config.Latency+time.Duration((2*rand.Float64()-1)*float64(config.Jitter)))
}
