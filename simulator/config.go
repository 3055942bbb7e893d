package simulator

import (
	"errors"
	"fmt"
	"io"
	"time"

	"pollux/secret"
)

const (
	patternConstant = "constant"
	patternSteps    = "steps"

	defaultCommunity  = "public"
	defaultPorts      = 48
	defaultMaxMessage = 1472 // what one Ethernet frame carries over UDP and IPv4
	defaultStepLength = time.Minute

	minMessage   = 484 // RFC 3411 snmpEngineMaxMessageSize
	maxMessage   = 65_507
	maxPorts     = 10_000
	maxLatency   = time.Minute
	maxCommunity = 255
)

// defaultEpoch is fixed, so that a restarted simulator goes on where it was.
var defaultEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Config says which devices are simulated and how they behave. The zero value
// of every field but Listen is a sensible default.
type Config struct {
	// Listen is a range and a port, "127.0.0.0/16:1161", with a device per
	// address from the first after the network address on; or one address and
	// a port, "127.0.0.1:1161"; or, with PortRange, one address alone. Port 0 takes a free one.
	Listen string
	// PortRange "20000-20049" gives each device a port of the one address in Listen.
	PortRange string
	// Devices is how many of the addresses or ports are served; 0 = all of them.
	Devices int
	// Ports is the number of ports of each device, 1 to 10,000; 0 = 48.
	Ports int
	// Recordings is a directory of NAME.snmprec files; "" = none.
	Recordings string
	// Community is asked of v1 and v2c requests to synthesised devices; empty = "public".
	Community secret.String
	// V3 is the one SNMPv3 user; nil = v3 requests are not answered.
	V3 *User
	// Latency delays every reply, Jitter adds up to that much more or less (evenly spread); each at most a minute.
	Latency, Jitter time.Duration
	// Loss is the share of requests dropped at random, Dead the share of devices that never answer; 0 to 1.
	Loss, Dead float64
	// RebootAt is when all devices restart: counters and sysUpTime go to zero, snmpEngineBoots grows. Zero = never.
	RebootAt time.Time
	// Hostile are names of scripts, see HostileNames, that the devices play in turn: device i plays
	// the i-th, modulo their number. Honest and All may be among them. Empty = all are honest.
	Hostile []string
	// HostileAt is when the scripts begin; before it all devices are honest. Zero = at once.
	HostileAt time.Time
	// HostileSeed decides about what is random in a script, together with the request.
	HostileSeed uint64
	// Only32Bit leaves out every object of ifXTable that counts, and the rates are a tenth.
	Only32Bit bool
	// Wrap lets all counters wrap 30 s after Epoch.
	Wrap bool
	// Pattern is how rates go over time: "constant" (also "") or "steps".
	Pattern string
	// StepLength is how long a step of the pattern "steps" lasts, at least 1 ms; 0 = 1 minute.
	StepLength time.Duration
	// MaxMessage is the size of the largest reply in bytes, 484 to 65,507; 0 = 1472. Only a
	// recorded object that is longer by itself comes in a larger reply.
	MaxMessage int
	// Epoch is when the counters began. Zero = 2026-01-01 UTC, or the time of New if Wrap is set.
	Epoch time.Time
	// Sick is what befalls the counters of devices, at most 100.
	Sick []Sickness
	// Now tells the time at which requests come; nil = time.Now.
	Now func() time.Time
	// Log receives each octet counter and each other reply that was answered, in the format of ReadLog; nil = none.
	Log io.Writer
}

// User is an SNMPv3 user of the User-based Security Model (RFC 3414).
type User struct {
	Name string
	// AuthProtocol is "" (none), MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512 (RFC 7860).
	AuthProtocol string
	// PrivProtocol is "" (none), DES, AES (RFC 3826), AES-192, AES-256 (draft-blumenthal-aes-usm-04),
	// or AES-192-C, AES-256-C (the key extension of draft-reeder-snmpv3-usm-3desede, as Cisco has it).
	PrivProtocol string
	// Passwords have at least 8 characters (RFC 3414 section 11.2).
	AuthPassword, PrivPassword secret.String
}

// complete checks the configuration and fills in its defaults.
func (c *Config) complete(now time.Time) error {
	if c.Ports == 0 {
		c.Ports = defaultPorts
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = defaultMaxMessage
	}
	if c.StepLength == 0 {
		c.StepLength = defaultStepLength
	}
	if c.Pattern == "" {
		c.Pattern = patternConstant
	}
	if c.Community.IsEmpty() {
		c.Community = secret.New(defaultCommunity)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Epoch.IsZero() {
		c.Epoch = defaultEpoch
		if c.Wrap {
			c.Epoch = now
		}
	}
	return c.check()
}

func (c *Config) check() error {
	switch {
	case c.Devices < 0:
		return fmt.Errorf("devices is %d, want 0 (all) or more", c.Devices)
	case c.Ports < 1 || c.Ports > maxPorts:
		return fmt.Errorf("ports is %d, want 1 to %d", c.Ports, maxPorts)
	case c.MaxMessage < minMessage || c.MaxMessage > maxMessage:
		return fmt.Errorf("max message is %d bytes, want %d to %d", c.MaxMessage, minMessage, maxMessage)
	case c.Pattern != patternConstant && c.Pattern != patternSteps:
		return fmt.Errorf("pattern is %q, want constant or steps", c.Pattern)
	case c.StepLength < time.Millisecond:
		return fmt.Errorf("step length is %v, want at least 1ms", c.StepLength)
	case c.Latency < 0 || c.Latency > maxLatency || c.Jitter < 0 || c.Jitter > maxLatency:
		return fmt.Errorf("latency is %v and jitter %v, want 0 to %v", c.Latency, c.Jitter, maxLatency)
	case !(c.Loss >= 0 && c.Loss <= 1) || !(c.Dead >= 0 && c.Dead <= 1):
		return fmt.Errorf("loss is %v and dead %v, want 0 to 1", c.Loss, c.Dead)
	case len(c.Community.Reveal()) > maxCommunity:
		return errors.New("the community is longer than 255 bytes")
	case len(c.Sick) > maxSick:
		return fmt.Errorf("%d sicknesses, at most %d", len(c.Sick), maxSick)
	}
	for _, s := range c.Sick {
		if err := s.check(); err != nil {
			return err
		}
	}
	return nil
}
