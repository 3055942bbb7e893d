package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"pollux/config"
)

// sentinelTimeout is of one question to one Sentinel, with the dialling: half of
// what dialling the master may take, so that there is time left for the master.
const sentinelTimeout = commandTimeout / 2

// SentinelView is what one Sentinel says about the service.
type SentinelView struct {
	Address string // host:port of the Sentinel
	Master  string // host:port of the server that it takes for the master
	Err     error  // why it does not say; one line, as Connect's
}

// AskSentinels asks each Sentinel of c by itself who the master is, all at the
// same time. A client needs only most of them, so it does not notice that
// another one is away or says something else. ErrConfig says that c names none.
func AskSentinels(ctx context.Context, c config.Redis) ([]SentinelView, error) {
	if len(c.Sentinels) == 0 || c.SentinelService == "" {
		return nil, fmt.Errorf("%w: REDIS_SENTINEL or REDIS_SENTINEL_SERVICE is not set", ErrConfig)
	}
	dialer, err := newDialer(c)
	if err != nil {
		return nil, err
	}
	all := newSentinels(c, dialer)
	defer all.hangUp()
	views := make([]SentinelView, len(c.Sentinels))
	var asking sync.WaitGroup
	for i := range c.Sentinels {
		asking.Go(func() {
			views[i] = all.askOne(ctx, i)
			if views[i].Err != nil {
				own := c
				own.Sentinels = c.Sentinels[i : i+1]
				views[i].Err, _ = explain(views[i].Err, own)
			}
		})
	}
	asking.Wait()
	return views, nil
}

// Majority is the master to follow by what all configured Sentinels said; false
// when too few agree.
//
// From three on more than half of the configured ones must name it, whether
// the others answer or not: a Sentinel that is cut off from the others goes on
// to name the master that it knew, and takes no part in their failovers. Of two,
// one that answers alone is enough: Sentinels fail over only when most of
// all of them vote for it, so two can only do it together, and neither is
// ever overruled while it is away. That holds when REDIS_SENTINEL names all there are.
func Majority(views []SentinelView) (master string, agreed bool) {
	return majority(views, len(views))
}

// majority is Majority when not all of the configured ones may have been heard yet.
func majority(views []SentinelView, configured int) (master string, agreed bool) {
	votes := map[string]int{}
	for _, view := range views {
		if view.Err == nil {
			votes[view.Master]++
		}
	}
	if configured <= 2 && (len(views) < configured || len(votes) > 1) {
		return "", false
	}
	for named, count := range votes {
		if count >= required(configured) {
			return named, true
		}
	}
	return "", false
}

// required is how many Sentinels must name the same master.
func required(configured int) int {
	if configured <= 2 {
		return 1
	}
	return configured/2 + 1
}

// sentinels are the configured Sentinels, with a connection to each that is kept.
type sentinels struct {
	config  config.Redis
	clients []*redis.SentinelClient
	asking  sync.WaitGroup
}

func newSentinels(c config.Redis, dialer dialFunc) *sentinels {
	s := &sentinels{config: c}
	for _, address := range c.Sentinels {
		s.clients = append(s.clients, redis.NewSentinelClient(&redis.Options{
			Addr: address, Username: c.SentinelUsername, Password: c.SentinelPassword.Reveal(),
			Dialer: dialer, DialerRetries: 1, MaxRetries: -1, ContextTimeoutEnabled: true, PoolSize: 2,
			DialTimeout: sentinelTimeout, ReadTimeout: sentinelTimeout, WriteTimeout: sentinelTimeout, DisableIdentity: true,
		}))
	}
	return s
}

// hangUp ends the connections, and by that the questions under way.
func (s *sentinels) hangUp() {
	for _, client := range s.clients {
		_ = client.Close() // nothing was sent that could be lost
	}
}

// ask asks all of them at the same time, and returns as soon as enough agree.
// The error is *noMajorityError.
func (s *sentinels) ask(ctx context.Context) (master string, err error) {
	answers := make(chan SentinelView, len(s.clients)) // with room for all, since nobody waits for the last ones
	for i := range s.clients {
		s.asking.Go(func() {
			limit, stop := context.WithTimeout(ctx, sentinelTimeout)
			defer stop()
			answers <- s.askOne(limit, i)
		})
	}
	var views []SentinelView
	for range s.clients {
		views = append(views, <-answers)
		if master, agreed := majority(views, len(s.clients)); agreed {
			return master, nil
		}
	}
	return "", &noMajorityError{views: views, config: s.config}
}

// askOne asks one of them; the error in the view is the library's.
func (s *sentinels) askOne(ctx context.Context, i int) SentinelView {
	view := SentinelView{Address: s.config.Sentinels[i]}
	answer, err := s.clients[i].GetMasterAddrByName(ctx, s.config.SentinelService).Result()
	if err == nil && len(answer) != 2 {
		err = errors.New("its answer is no address")
	}
	if err != nil {
		view.Err = fmt.Errorf("sentinel: %w", err)
		return view
	}
	view.Master = printable(net.JoinHostPort(answer[0], answer[1]))
	return view
}

// noMajorityError says that too few Sentinels name the same master.
type noMajorityError struct {
	views  []SentinelView
	config config.Redis
}

// answered is how many Sentinels named a master.
func (n *noMajorityError) answered() (count int) {
	for _, view := range n.views {
		if view.Err == nil {
			count++
		}
	}
	return count
}

// Error implements error. What a Sentinel said is quoted without passwords.
func (n *noMajorityError) Error() string {
	said := make([]string, len(n.views))
	for i, view := range n.views {
		said[i] = view.Address + " names " + view.Master
		if view.Err != nil {
			said[i] = view.Address + ": " + redact(view.Err.Error(), n.config)
		}
	}
	configured := len(n.config.Sentinels)
	must := fmt.Sprintf("%d must agree on", required(configured))
	switch {
	case configured > 2:
	case n.answered() == 0:
		must = "one must name"
	default:
		must = "they must agree on"
	}
	return fmt.Sprintf("%d of %d Sentinels answered, %s the master of %s (%s); check that they run, know the service and reach each other",
		n.answered(), configured, must, n.config.SentinelService, strings.Join(said, "; "))
}

// Unwrap lets errors.As find why single Sentinels did not answer.
func (n *noMajorityError) Unwrap() (all []error) {
	for _, view := range n.views {
		if view.Err != nil {
			all = append(all, view.Err)
		}
	}
	return all
}
