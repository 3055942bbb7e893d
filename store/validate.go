package store

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pollux/device"
	"pollux/snmp"
)

const (
	maxHost     = 253 // characters of a DNS name, RFC 1035
	maxPassword = 255 // bytes; sealed they must fit their column
	maxTry      = 60 * time.Second
	maxRetries  = 20
)

// hostText are the names that can become a directory and an argument without
// harm: host names, IPv4 and IPv6 addresses.
var hostText = regexp.MustCompile(`^[A-Za-z0-9_:][A-Za-z0-9._:-]*$`)

// validate says in one line what is wrong with a device that people describe. Its errors are ErrInvalid.
func validate(d device.Device) error {
	if err := validateHost("hostname", d.Hostname); err != nil {
		return err
	}
	if d.Address != "" {
		if err := validateHost("address", d.Address); err != nil {
			return err
		}
	}
	if d.Port == 0 {
		return fmt.Errorf("%w port: 0, want 1 to 65535", ErrInvalid)
	}
	if !slices.Contains([]string{"udp", "udp6", "tcp", "tcp6"}, d.Transport) {
		return fmt.Errorf("%w transport: %.20q, want udp, udp6, tcp or tcp6", ErrInvalid, d.Transport)
	}
	if d.Interval < device.MinInterval || d.Interval > device.MaxInterval {
		return fmt.Errorf("%w interval: %d s, want %d to %d", ErrInvalid, d.Interval, device.MinInterval, device.MaxInterval)
	}
	if d.Timeout < 0 || d.Timeout > maxTry {
		return fmt.Errorf("%w timeout: %v, want 0 to %v", ErrInvalid, d.Timeout, maxTry)
	}
	if d.Retries < -1 || d.Retries > maxRetries {
		return fmt.Errorf("%w retries: %d, want -1 to %d", ErrInvalid, d.Retries, maxRetries)
	}
	if err := validateModules("discoveries", d.DiscoveryOff, device.DiscoveryModules()); err != nil {
		return err
	}
	if err := validateModules("polls", d.PollerOff, device.PollModules()); err != nil {
		return err
	}
	if !d.SelectedPorts.Valid() {
		return fmt.Errorf("%w selected ports: %.20q, want auto, true or false", ErrInvalid, d.SelectedPorts)
	}
	if d.PingOnly {
		if d.Credentials != (snmp.Credentials{}) {
			return fmt.Errorf("%w credentials: a device that is asked by ICMP only has none", ErrInvalid)
		}
		return nil
	}
	return validateCredentials(d.Credentials)
}

func validateHost(what, host string) error {
	switch {
	case host == "":
		return fmt.Errorf("%w %s: it is empty", ErrInvalid, what)
	case len(host) > maxHost:
		return fmt.Errorf("%w %s: %d bytes, want at most %d", ErrInvalid, what, len(host), maxHost)
	case !hostText.MatchString(host) || strings.Contains(host, ".."):
		return fmt.Errorf("%w %s %.80q: want letters, digits, . _ : - only, no . or - first, no two dots together", ErrInvalid, what, host)
	case strings.HasSuffix(host, ".rrd"):
		return fmt.Errorf("%w %s %.80q: it looks like the name of an RRD file, which its directory must not have", ErrInvalid, what, host)
	}
	return nil
}

// validateCredentials never puts a secret into its error.
func validateCredentials(c snmp.Credentials) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%w credentials: %w", ErrInvalid, err)
	}
	// Kept as they are, so they must be text that is kept unchanged.
	for what, value := range map[string]string{"user": c.User, "context": c.Context} {
		if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
			return fmt.Errorf("%w credentials: the %s is not printable UTF-8", ErrInvalid, what)
		}
	}
	if len(c.AuthPassword.Reveal()) > maxPassword || len(c.PrivPassword.Reveal()) > maxPassword {
		return fmt.Errorf("%w credentials: a password is longer than %d bytes", ErrInvalid, maxPassword)
	}
	return nil
}

// validateModules checks which modules a device goes without.
func validateModules(of string, names, known []string) error {
	if wrong, ok := device.KnownModules(names, known); !ok {
		return fmt.Errorf("%w module of %s %.40q: want some of %s", ErrInvalid, of, wrong, strings.Join(known, ", "))
	}
	if len(slices.Compact(slices.Sorted(slices.Values(names)))) < len(names) {
		return fmt.Errorf("%w modules of %s: one is named twice", ErrInvalid, of)
	}
	return nil
}
