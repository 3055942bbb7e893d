package simulator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxListenPorts bounds the sockets of a port range.
const maxListenPorts = 20_000

// addresses says where the devices answer: either each at an address of an
// IPv4 range with one port, or each at a port of one address.
type addresses struct {
	first   netip.Addr // of device 0
	port    uint16     // of device 0; 0 = a free one
	perPort bool       // devices differ by port, not by address
	devices int
}

func newAddresses(c Config) (addresses, error) {
	if c.PortRange != "" {
		return portAddresses(c)
	}
	host, port, found := cutLast(c.Listen, ":")
	if !found {
		return addresses{}, fmt.Errorf("listen is %q, want RANGE:PORT or ADDRESS with a port range", c.Listen)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return addresses{}, fmt.Errorf("listen is %q: port %q is no port number", c.Listen, port)
	}
	a := addresses{port: uint16(number)}
	size := uint64(1)
	if strings.Contains(host, "/") {
		prefix, err := netip.ParsePrefix(host)
		if err != nil || !prefix.Addr().Is4() {
			return addresses{}, fmt.Errorf("listen is %q, want an IPv4 range such as 127.0.0.0/16:1161", c.Listen)
		}
		a.first, size = prefix.Masked().Addr(), 1<<(32-prefix.Bits())
		if size > 2 { // the network address itself is no host
			a.first, size = a.first.Next(), size-1
		}
	} else if a.first, err = netip.ParseAddr(strings.Trim(host, "[]")); err != nil {
		return addresses{}, fmt.Errorf("listen is %q: %w", c.Listen, err)
	}
	if a.first.IsUnspecified() {
		return addresses{}, errors.New("listen is every address: name one, a range, or give a port range")
	}
	return a, a.take(c.Devices, size)
}

func portAddresses(c Config) (addresses, error) {
	address, err := netip.ParseAddr(strings.Trim(c.Listen, "[]"))
	if err != nil || address.Is6() && address.IsUnspecified() {
		return addresses{}, fmt.Errorf("listen is %q, want one address beside a port range", c.Listen)
	}
	from, to, found := strings.Cut(c.PortRange, "-")
	low, err1 := strconv.ParseUint(from, 10, 16)
	high, err2 := strconv.ParseUint(to, 10, 16)
	if !found || err1 != nil || err2 != nil || low == 0 || high < low || high-low >= maxListenPorts {
		return addresses{}, fmt.Errorf("port range is %q, want A-B with A from 1 and at most %d ports", c.PortRange, maxListenPorts)
	}
	a := addresses{first: address, port: uint16(low), perPort: true}
	return a, a.take(c.Devices, high-low+1)
}

// take sets the number of devices among size places.
func (a *addresses) take(devices int, size uint64) error {
	if devices == 0 {
		devices = int(size)
	}
	if uint64(devices) > size {
		return fmt.Errorf("%d devices do not fit into %d addresses or ports", devices, size)
	}
	a.devices = devices
	return nil
}

// single says whether one address is all that is served.
func (a *addresses) single() bool { return a.perPort || a.devices == 1 }

// device returns the index of the device at an IPv4 address of a range; false = nobody is there.
func (a *addresses) device(address [4]byte) (int, bool) {
	first := a.first.As4()
	index := int64(binary.BigEndian.Uint32(address[:])) - int64(binary.BigEndian.Uint32(first[:]))
	return int(index), index >= 0 && index < int64(a.devices)
}

// at is where device i answers.
func (a *addresses) at(i int) netip.AddrPort {
	if a.perPort {
		return netip.AddrPortFrom(a.first, a.port+uint16(i))
	}
	if i == 0 {
		return netip.AddrPortFrom(a.first, a.port)
	}
	first := a.first.As4()
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], binary.BigEndian.Uint32(first[:])+uint32(i))
	return netip.AddrPortFrom(netip.AddrFrom4(raw), a.port)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
