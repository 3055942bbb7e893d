package settings_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"pollux/settings"
)

func nets(t *testing.T, stored map[string]string) settings.Nets {
	t.Helper()
	v := settings.NewValues(stored)
	if ignored := v.Ignored(); len(ignored) > 0 {
		t.Fatalf("refused: %+v", ignored)
	}
	return v.Nets()
}

// TestAllowedRefusesThisMachineAndItsNetwork is the table of what somebody may
// try who wants this machine to ask what he cannot reach himself.
func TestAllowedRefusesThisMachineAndItsNetwork(t *testing.T) {
	t.Parallel()
	byDefault := nets(t, nil)
	for _, text := range []string{
		"127.0.0.1", "127.0.0.53", "127.1.2.3", "127.255.255.255", "0.0.0.0", "0.0.0.1", "0.255.255.255", "169.254.0.1", "169.254.169.254", "169.254.255.255",
		"224.0.0.1", "224.0.0.251", "232.1.1.1", "239.255.255.250", "240.0.0.1", "250.1.1.1", "255.255.255.255",
		"::", "::1", "fe80::1", "fe80::1%eth0", "febf::1", "ff02::1", "ff02::fb%lo", "ff05::2", "ff0e::1",
		"::ffff:127.0.0.1", "::ffff:0.0.0.0", "::ffff:169.254.169.254", "::ffff:224.0.0.1", "::ffff:255.255.255.255", "::ffff:7f00:1",
		"::127.0.0.1", "::169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::e000:1",
		"2002:7f00:1::", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:e000:1::", "2002:ffff:ffff::1",
	} {
		err := settings.Allowed(netip.MustParseAddr(text), byDefault)
		if !errors.Is(err, settings.ErrNet) || !strings.Contains(err.Error(), "autodiscovery.nets-exclude") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := settings.Allowed(netip.Addr{}, byDefault); !errors.Is(err, settings.ErrNet) {
		t.Errorf("no address: %v", err)
	}
	for _, text := range []string{
		"1.0.0.0", "10.0.0.1", "126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.0", "192.168.1.1", "223.255.255.255", "198.51.100.7",
		"2001:db8::1", "fd00::1", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1", "fdff::1",
	} {
		if err := settings.Allowed(netip.MustParseAddr(text), byDefault); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNetsAllowLiftsWhatIsExcluded(t *testing.T) {
	t.Parallel()
	lists := nets(t, map[string]string{"nets.allow": "127.1.0.0/16,::1,fe80::/10", "autodiscovery.nets-exclude": "127.0.0.0/8,10.9.0.0/16,::/127,fe80::/10"})
	for text, allowed := range map[string]bool{
		"127.1.0.1": true, "::ffff:127.1.0.1": true, "64:ff9b::127.1.0.1": true, "::1": true, "fe80::7%eth0": true, "169.254.1.1": true, "10.8.0.1": true,
		"127.2.0.1": false, "::ffff:127.2.0.1": false, "64:ff9b::127.2.0.1": false, "::": false, "10.9.1.1": false,
	} {
		if err := settings.Allowed(netip.MustParseAddr(text), lists); (err == nil) != allowed {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := settings.Allowed(netip.MustParseAddr("127.0.0.1"), nets(t, map[string]string{"autodiscovery.nets-exclude": ""})); err != nil {
		t.Errorf("without exclusions: %v", err)
	}
}

func TestSearchableWantsANetworkThatIsListedAndAllowed(t *testing.T) {
	t.Parallel()
	lists := nets(t, map[string]string{"nets": "192.0.2.0/24,127.0.0.0/8,2001:db8::/32", "nets.allow": "127.5.0.0/16"})
	for text, searchable := range map[string]bool{
		"192.0.2.9": true, "::ffff:192.0.2.9": true, "2001:db8::9": true, "127.5.0.1": true,
		"192.0.3.9": false, "127.0.0.1": false, "64:ff9b::192.0.2.9": false, "2001:db9::9": false,
	} {
		if err := settings.Searchable(netip.MustParseAddr(text), lists); (err == nil) != searchable || err != nil && !errors.Is(err, settings.ErrNet) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := settings.Searchable(netip.MustParseAddr("192.0.2.9"), nets(t, nil)); !errors.Is(err, settings.ErrNet) {
		t.Errorf("without a list: %v", err)
	}
	if err := settings.Searchable(netip.Addr{}, lists); !errors.Is(err, settings.ErrNet) {
		t.Errorf("no address: %v", err)
	}
}
