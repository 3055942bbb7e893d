package simulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

const (
	// batchSize is how many packets a socket of a range reads and writes in one system call.
	batchSize = 32
	// maxSockets bounds the sockets of a range; there is one per CPU.
	maxSockets = 16
	// ledgerFlush is how old an entry may become before it reaches Config.Log.
	ledgerFlush = 200 * time.Millisecond
)

// ErrRunning says that Run was called a second time.
var ErrRunning = errors.New("the simulator has been run already")

// Agent answers for all simulated devices.
type Agent struct {
	config  Config
	log     *slog.Logger
	model   Model
	layout  *layout
	narrow  *layout  // of devices that have no 64-bit counters for a while; nil = none ever do
	library *library // nil = no recordings
	cast    *cast
	usm     *usm    // nil = no SNMPv3
	ledger  *ledger // nil = no log of answers
	delayed *delayQueue
	counts  counters
	started atomic.Bool
	ready   chan struct{}

	addresses addresses // its port 0 becomes the real one before ready is closed
}

// New checks the configuration and prepares all that the devices have in
// common; it opens no socket. log receives what recordings could not be read; nil = nowhere.
func New(c Config, log *slog.Logger) (*Agent, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	now := time.Now()
	if err := c.complete(now); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	a := &Agent{config: c, log: log, delayed: newDelayQueue(), ready: make(chan struct{})}
	var err error
	if a.addresses, err = newAddresses(c); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	// Salts must not repeat after a restart within the same engine boots (RFC 3826 section 3.1.2.1).
	if a.usm, err = newUSM(c.V3, uint64(now.UnixNano())); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	if c.Recordings != "" {
		if a.library, err = openLibrary(c.Recordings, log); err != nil {
			return nil, fmt.Errorf("simulator: %w", err)
		}
	}
	if c.Log != nil {
		a.ledger = newLedger(c.Log)
	}
	a.model = newModel(c)
	a.layout = newLayout(c, a.model, false)
	if slices.ContainsFunc(c.Sick, func(s Sickness) bool { return s.Ailment == Narrow }) {
		a.narrow = newLayout(c, a.model, true)
	}
	if a.cast, err = newCast(c, a.layout); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	return a, nil
}

// Run opens the sockets and answers until ctx ends, or a socket or the log fails. It may be called once.
func (a *Agent) Run(ctx context.Context) error {
	if !a.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	sockets, conns, err := a.listen(ctx)
	if err != nil {
		return errors.Join(err, closeAll(conns))
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, len(sockets))
	var running sync.WaitGroup
	for _, s := range sockets {
		running.Go(func() {
			if err := newWorker(a, s).run(); err != nil {
				failed <- err
			}
		})
	}
	if a.config.Latency > 0 || a.config.Jitter > 0 || a.cast.holds() {
		running.Go(func() { a.delayed.run(ctx, a.send) })
	}
	close(a.ready)
	err = a.wait(ctx, failed)
	stop()
	for _, conn := range conns {
		err = errors.Join(err, conn.SetReadDeadline(time.Unix(1, 0)))
	}
	running.Wait()
	if a.ledger != nil {
		err = errors.Join(err, a.ledger.flush())
	}
	return errors.Join(err, closeAll(conns))
}

// wait flushes the log now and then until ctx ends or something fails.
func (a *Agent) wait(ctx context.Context, failed <-chan error) error {
	var tick <-chan time.Time
	if a.ledger != nil {
		ticker := time.NewTicker(ledgerFlush)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-tick:
			if err := a.ledger.flush(); err != nil {
				return fmt.Errorf("write the log of answers: %w", err)
			}
		}
	}
}

// listen opens the sockets: one per port, or one per CPU for a range. The
// sockets of a whole range are bound to every address, and what is sent
// elsewhere than into the range is dropped.
func (a *Agent) listen(ctx context.Context) (sockets []socket, conns []*net.UDPConn, err error) {
	if a.addresses.perPort {
		for i := range a.addresses.devices {
			conn, err := open(ctx, a.addresses.at(i), false)
			if err != nil {
				return nil, conns, err
			}
			conns = append(conns, conn)
			s, err := newSocket(conn, i, 1)
			if err != nil {
				return nil, conns, err
			}
			sockets = append(sockets, s)
		}
		return sockets, conns, nil
	}
	at, device := a.addresses.at(0), 0
	if !a.addresses.single() {
		at, device = netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port()), byDestination
	}
	if conns, err = openShared(ctx, at, min(runtime.GOMAXPROCS(0), maxSockets)); err != nil {
		return nil, nil, err
	}
	if at.Port() == 0 {
		a.addresses.port = conns[0].LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	for _, conn := range conns {
		s, err := newSocket(conn, device, batchSize)
		if err != nil {
			return nil, conns, err
		}
		sockets = append(sockets, s)
	}
	return sockets, conns, nil
}

// send writes replies. One that cannot be sent is left out, as a lost packet would be.
func (a *Agent) send(batch batchConn, messages []ipv4.Message) {
	for len(messages) > 0 {
		n, err := batch.WriteBatch(messages, 0)
		if n > 0 {
			a.counts.replies.Add(uint64(n))
			messages = messages[n:]
		}
		if err != nil || n <= 0 {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			messages = messages[min(1, len(messages)):]
		}
	}
}

// Ready is closed when the sockets are open. If they cannot be opened, Run returns and it stays open.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// Addr is where a device, counted from 0, answers. With port 0 in Config.Listen
// it must not be called before Ready is closed, as the port is not known yet.
func (a *Agent) Addr(device int) netip.AddrPort { return a.addresses.at(device) }

// Model is the closed form of the synthesised devices' counters.
func (a *Agent) Model() Model { return a.model }

// Stats is what was done so far.
func (a *Agent) Stats() Stats {
	return Stats{
		Requests: a.counts.requests.Load(), Replies: a.counts.replies.Load(), Dropped: a.counts.dropped.Load(), Damaged: a.counts.damaged.Load(),
	}
}
