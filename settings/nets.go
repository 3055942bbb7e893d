package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxNets bounds a list of networks.
const maxNets = 1000

// ErrNet says that the settings keep an address from being asked; the text says which.
var ErrNet = errors.New("the settings keep this address from being asked")

// Nets are the lists of networks that say which addresses may be asked.
type Nets struct {
	Searched []netip.Prefix // nets: agents may be looked for there with stored credentials
	Excluded []netip.Prefix // autodiscovery.nets-exclude
	Lifted   []netip.Prefix // nets.allow: not excluded, whatever Excluded says
}

// Nets returns the lists of networks in force.
func (v Values) Nets() Nets {
	list := func(key string) []netip.Prefix {
		text, _ := v.Text(key)
		nets, err := ParseNets(text)
		if err != nil {
			return nil // a stored value is checked before it is in force
		}
		return nets
	}
	return Nets{Searched: list(KeyNets), Excluded: list(KeyNetsExclude), Lifted: list(KeyNetsAllow)}
}

// Allowed says whether an address may be asked that comes from a device, from
// the API or from the UI: not when it, or the IPv4 address that an IPv6 one
// stands for, is excluded. So nobody makes this machine ask itself, or all of its
// network. Its error is ErrNet. It takes addresses and never names: a name must be
// resolved first, and what it was resolved to must be what is asked.
func Allowed(address netip.Addr, nets Nets) error {
	if !address.IsValid() {
		return fmt.Errorf("%w: it is none", ErrNet)
	}
	for _, form := range forms(address) {
		if in(nets.Lifted, form) {
			continue
		}
		if i := slices.IndexFunc(nets.Excluded, func(p netip.Prefix) bool { return p.Contains(form) }); i >= 0 {
			return fmt.Errorf("%w: %s is in %s, which %s excludes; %s would lift that", ErrNet, address, nets.Excluded[i], KeyNetsExclude, KeyNetsAllow)
		}
	}
	return nil
}

// Searchable says whether stored credentials may be sent to an address that
// nobody named: only when it is in one of the networks to search, and allowed.
// Its error is ErrNet.
func Searchable(address netip.Addr, nets Nets) error {
	if !address.IsValid() || !in(nets.Searched, address.Unmap().WithZone("")) {
		return fmt.Errorf("%w: %s is in none of the networks of %s", ErrNet, address, KeyNets)
	}
	return Allowed(address, nets)
}

func in(nets []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(address) })
}

// Blocks of IPv6 whose addresses stand for IPv4 ones.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixToFour  = netip.MustParsePrefix("2002::/16")    // RFC 3056
	compatible = netip.MustParsePrefix("::/96")        // RFC 4291, 2.5.5.1
)

// forms are an address as it is compared, and the IPv4 address that it stands for.
func forms(address netip.Addr) []netip.Addr {
	address = address.Unmap().WithZone("")
	if address.Is4() {
		return []netip.Addr{address}
	}
	raw := address.As16()
	switch {
	case nat64.Contains(address), compatible.Contains(address) && raw[12] != 0: // :: and ::1 stand for themselves
		return []netip.Addr{address, netip.AddrFrom4([4]byte(raw[12:16]))}
	case sixToFour.Contains(address):
		return []netip.Addr{address, netip.AddrFrom4([4]byte(raw[2:6]))}
	default:
		return []netip.Addr{address}
	}
}

// ParseNets reads networks and single addresses with commas between them: "10.0.0.0/8,2001:db8::/32". "" is none.
func ParseNets(text string) ([]netip.Prefix, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	words := strings.Split(text, ",")
	if len(words) > maxNets {
		return nil, fmt.Errorf("%d networks, at most %d", len(words), maxNets)
	}
	var nets []netip.Prefix
	for _, word := range words {
		network, err := ParseNet(strings.TrimSpace(word))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(nets, network) {
			nets = append(nets, network)
		}
	}
	return nets, nil
}

// ParseNet reads one network or address; bits behind its length count as zero.
func ParseNet(word string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(word)
	if err != nil {
		address, addressErr := netip.ParseAddr(word)
		if addressErr != nil || address.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%.60q is no network such as 10.0.0.0/8 or 2001:db8::/32", word)
		}
		network = netip.PrefixFrom(address, address.BitLen())
	}
	if network.Addr().Is4In6() { // it is compared as what it stands for
		if network.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%.60q holds more than IPv4 addresses; write networks of IPv4 as 10.0.0.0/8", word)
		}
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	return network.Masked(), nil
}

// formatNets writes what ParseNets reads.
func formatNets(nets []netip.Prefix) string {
	words := make([]string, len(nets))
	for i, network := range nets {
		words[i] = network.String()
	}
	return strings.Join(words, ",")
}
