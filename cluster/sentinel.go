package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/redis/go-redis/v9"

	"pollux/config"
)

// SentinelView is what one Sentinel says about the service.
type SentinelView struct {
	Address string // host:port of the Sentinel
	Master  string // host:port of the server that it takes for the master
	Err     error  // why it does not say; one line, as Connect's
}

// AskSentinels asks each Sentinel of c by itself who the master is, all at the
// same time. A client needs only one that answers, so it does not notice that
// the others are away or say something else. ErrConfig says that c names none.
func AskSentinels(ctx context.Context, c config.Redis) ([]SentinelView, error) {
	if len(c.Sentinels) == 0 || c.SentinelService == "" {
		return nil, fmt.Errorf("%w: REDIS_SENTINEL or REDIS_SENTINEL_SERVICE is not set", ErrConfig)
	}
	dialer, err := newDialer(c)
	if err != nil {
		return nil, err
	}
	views := make([]SentinelView, len(c.Sentinels))
	var asking sync.WaitGroup
	for i, address := range c.Sentinels {
		asking.Go(func() {
			views[i].Address = address
			views[i].Master, views[i].Err = askSentinel(ctx, c, address, dialer)
		})
	}
	asking.Wait()
	return views, nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func askSentinel(ctx context.Context, c config.Redis, address string, dialer dialFunc) (master string, err error) {
	client := redis.NewSentinelClient(&redis.Options{
		Addr: address, Username: c.SentinelUsername, Password: c.SentinelPassword.Reveal(),
		Dialer: dialer, DialerRetries: 1, MaxRetries: -1, ContextTimeoutEnabled: true,
		DialTimeout: commandTimeout, ReadTimeout: commandTimeout, WriteTimeout: commandTimeout, DisableIdentity: true,
	})
	defer client.Close()
	answer, err := client.GetMasterAddrByName(ctx, c.SentinelService).Result()
	if err == nil && len(answer) != 2 {
		err = errors.New("its answer is no address")
	}
	if err != nil {
		c.Sentinels = []string{address}
		failure, _ := explain(fmt.Errorf("sentinel: %w", err), c)
		return "", failure
	}
	return printable(net.JoinHostPort(answer[0], answer[1])), nil
}
