package cluster

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Holder is who holds a lease, as its token says.
type Holder struct {
	Name  string // the NODE_ID, as a rule
	Place string // "<host>:<pid>"
	Token string // cut to 255 printable bytes
}

// ParseHolder reads a token, "<name>/<host>:<pid>/<random>". Anything else is all name; "" is the zero Holder.
func ParseHolder(token string) Holder {
	h := Holder{Name: token, Token: token}
	if parts := strings.Split(token, "/"); len(parts) == 3 {
		h.Name, h.Place = parts[0], parts[1]
	}
	return h
}

// DeviceHolder says who holds the lease of a device, which means that it is
// being polled, and when the lease lapses unless it is renewed. The zero Holder for nobody.
func DeviceHolder(ctx context.Context, client redis.UniversalClient, deviceID int64) (h Holder, lapses time.Duration, err error) {
	key := deviceLeases + strconv.FormatInt(deviceID, 10)
	token, err := client.GetRange(ctx, key, 0, maxText-1).Result()
	if err != nil || token == "" {
		return Holder{}, 0, wrapHolder(err, deviceID)
	}
	lapses, err = client.PTTL(ctx, key).Result()
	return ParseHolder(printable(token)), max(lapses, 0), wrapHolder(err, deviceID)
}

func wrapHolder(err error, deviceID int64) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read the holder of the lease of device %d: %w", deviceID, err)
}
