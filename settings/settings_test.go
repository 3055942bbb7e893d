package settings_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollux/settings"
)

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	for _, s := range settings.All() {
		if err := s.Check(s.Default); err != nil {
			t.Errorf("the default of %s: %v", s.Key, err)
		}
		if s.Help == "" || s.Scope == "" || s.Range() == "" {
			t.Errorf("%s lacks help, scope or range: %+v", s.Key, s)
		}
	}
	if len(settings.NewValues(nil).Archives()) != 7 {
		t.Errorf("default archives %v", settings.NewValues(nil).Archives())
	}
}

func TestUnknownKeyNamesTheNearest(t *testing.T) {
	t.Parallel()
	for typed, nearest := range map[string]string{
		"service_poler_workers": "service_poller_workers", "snmp.retry": "snmp.retries", "RRD.rra": "rrd.rra", "distributed_pollers": "distributed_poller",
		"SERVICE_LOGLEVEL": "service_loglevel", "allow_duplicate_sysname": "allow_duplicate_sysName", "icmp_chek": "icmp_check", "net": "nets",
	} {
		if _, err := settings.Find(typed); err == nil || !strings.Contains(err.Error(), nearest) {
			t.Errorf("%s: %v", typed, err)
		}
	}
	for _, s := range settings.All() { // of every form
		for i := range s.Key {
			typed := s.Key[:i] + s.Key[i+1:]
			if _, err := settings.Find(typed); err == nil || !strings.HasSuffix(err.Error(), "did you mean "+s.Key+"?") {
				t.Errorf("%s without letter %d: %v", s.Key, i, err)
			}
		}
	}
	if _, err := settings.Find(strings.Repeat("z", 10_000)); err == nil || len(err.Error()) > 200 {
		t.Errorf("a long key: %v", err)
	}
}

// A key that means something else is not the nearest one, however many letters they share.
func TestOnlySlipsAreGuessed(t *testing.T) {
	t.Parallel()
	for _, typed := range []string{
		"service_ping_workers", "service_poller_down", "service_syslog_frequency", "distributed_discovery", "snmp.max_sessions", "rrd.dir", "poller", "x", "",
	} {
		if _, err := settings.Find(typed); err == nil || strings.Contains(err.Error(), "did you mean") || !strings.Contains(err.Error(), "pollux config list") {
			t.Errorf("%s: %v", typed, err)
		}
	}
}

func TestKeysOfLibreNMSNameTheirPlace(t *testing.T) {
	t.Parallel()
	for says, keys := range map[string][]string{
		"DISTRIBUTED_POLLER_GROUP in its .env": {"distributed_poller_group", "DISTRIBUTED_POLLER_GROUP"},
		"NODE_ID":                              {"distributed_poller_name"},
		"no memcached":                         {"distributed_poller_memcached_host", "distributed_poller_memcached_port"},
		"pollux bill list":                     {"enable_billing", "service_billing_enabled"},
		"service_billing_frequency":            {"billing.interval"},
		"--direction aggregate":                {"billing.95th_default_agg"},
		"discovers while its consumer runs":    {"service_discovery_enabled"},
		"pollux node drain":                    {"service_poller_enabled"},
		"in each of its slots":                 {"service_poller_down_retry"},
		"fixed at 12 s":                        {"service_master_timeout"},
		"no checks of services":                {"service_services_enabled", "service_services_workers", "service_services_frequency"},
		"no alert rules":                       {"service_alerting_enabled", "service_alerting_frequency"},
		"not pinged":                           {"service_ping_enabled", "service_ping_frequency"},
		"install another binary":               {"service_update_enabled", "service_update_frequency"},
		"/healthz":                             {"service_watchdog_enabled", "service_health_file"},
		"pollux device set HOST":               {"snmp.community", "snmp.v3"},
		"pollux credential add":                {"snmp.community", "snmp.v3"},
		"always compared":                      {"addhost_alwayscheckip"},
		"the interval of each device":          {"ping_rrd_step", "rrd.step"},
		"it is service_poller_workers":         {"poller_workers"},
		"pollux device disable":                {"rrd.enable"},
		"follows its speed":                    {"rrdtool_tune"},
		"snmp.timeout":                         {"snmp.exec_timeout"},
		"snmp.max_repeaters":                   {"snmp.oids.no_bulk"},
		"names increase":                       {"snmp.oids.unordered"},
	} {
		for _, key := range keys {
			_, err := settings.Find(key)
			if err == nil || !strings.HasPrefix(err.Error(), key+" is no setting: ") || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for key, values := range map[string][]string{
		"snmp.retries": {"-1", "21", " 5", "5 ", "05", "0x5"}, "snmp.timeout": {"1.5", "0"}, "service_poller_frequency": {"9", "3601"}, "snmp.max_repeaters": {"+5"},
		"eventlog_purge": {""}, "distributed_poller": {"yes", "True", "1", ""}, "rrd.rra": {"AVERAGE", ""},
		"service_loglevel": {"loud", "", "info,warn", " info", "inf\x00o"}, "snmp.version": {"", "v4", "v2c,", ",v2c", "v2c,v2c", "v2c;v1", "v2c,V2C"}, "snmp.transports": {"udp udp6", "ip"},
		"icmp_check": {"yes", ""}, "nets": {"10.0.0.0/33", "10.0.0/8", "all"}, "nets.allow": {"10.0.0.0/8 10.1.0.0/16", "a/8", ",", "fe80::1%eth0", "::ffff:10.0.0.0/90", "0x7f.1"},
		"autodiscovery.nets-exclude": {"10.0.0.0/8,", "127.1", strings.Repeat("10.0.0.1,", 1000) + "10.0.0.2"},
		"rrd.shards": {
			"rrd1:42217", "0=rrd1:42217", "64=rrd1:42217", "01=rrd1:42217", "1=", "1=rrd1", "1=rrd1:42217,", "1=unix:/run/rrd.sock", "1=rrd1:42217 1=rrd2:42217",
			"1=rrd1:42217 2=rrd1:42217", "1=a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1,i:1", "1=rrd1:42217;2=rrd2:42217", "-1=rrd1:42217",
		},
	} {
		s := find(t, key)
		for _, value := range values {
			if err := s.Check(value); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s=%q: %v", key, value, err)
			}
		}
		if err := s.Check(strings.Repeat("v1,", 100_000)); err == nil || len(err.Error()) > 300 {
			t.Errorf("a long value of %s: %v", key, err)
		}
	}
}

func find(t *testing.T, key string) settings.Setting {
	t.Helper()
	s, err := settings.Find(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseGivesTheStoredForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, typed, stored string }{
		{"service_loglevel", "INFO", "info"}, {"service_loglevel", "WARNING", "warn"}, {"service_loglevel", "Critical", "error"}, {"service_loglevel", "debug", "debug"},
		{"snmp.version", "v1", "v1"}, {"snmp.version", "V3, v2c", "v3,v2c"}, {"snmp.transports", "tcp6,udp", "tcp6,udp"}, {"snmp.port", "1161", "1161"},
		{"rrd.shards", "  12=b:1  2=[::1]:2,a:3 ", "2=[::1]:2,a:3 12=b:1"}, {"rrd.shards", " ", ""},
		{"nets", " ", ""}, {"nets", "10.1.2.3/8, 2001:DB8::1/32,10.0.0.0/8", "10.0.0.0/8,2001:db8::/32"}, {"nets.allow", "127.0.0.1,::1", "127.0.0.1/32,::1/128"},
		{"autodiscovery.nets-exclude", "::ffff:127.0.0.0/104", "127.0.0.0/8"},
	} {
		if got, err := find(t, c.key).Parse(c.typed); err != nil || got != c.stored {
			t.Errorf("%s=%s is stored as %q, %v, want %q", c.key, c.typed, got, err, c.stored)
		}
	}
}

func TestRangeSaysWhatIsTaken(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"snmp.timeout": "1 to 30 s", "snmp.retries": "0 to 20", "distributed_poller": "true or false", "service_loglevel": "debug, info, warn or error",
		"snmp.version": "a list of v1,v2c,v3", "rrd.rra": "1 to 50 archives", "rrd.shards": "NUMBER=ADDRESS,... of shards 1 to 63",
		"nets": "networks with commas between them, such as 10.0.0.0/8,2001:db8::/32", "icmp_check": "true or false",
	} {
		if got := find(t, key).Range(); got != want {
			t.Errorf("%s takes %q, want %q", key, got, want)
		}
	}
}

func TestStoredValueThatIsRefusedCountsAsNotStored(t *testing.T) {
	t.Parallel()
	v := settings.NewValues(map[string]string{"snmp.retries": "many", "snmp.timeout": "3", "gone": "1"})
	if v.Int(settings.KeySNMPRetries) != 5 || v.Seconds(settings.KeySNMPTimeout) != 3*time.Second {
		t.Errorf("retries %d, timeout %v", v.Int(settings.KeySNMPRetries), v.Seconds(settings.KeySNMPTimeout))
	}
	if _, stored := v.Text(settings.KeySNMPRetries); stored {
		t.Error("the refused value counts as stored")
	}
	ignored := v.Ignored()
	if len(ignored) != 2 || ignored[0].Key != "snmp.retries" || !ignored[0].Known || ignored[0].Value != "many" || !strings.Contains(ignored[0].Reason.Error(), "0 to 20") ||
		ignored[1].Key != "gone" || ignored[1].Known || ignored[1].Value != "1" || ignored[1].Reason == nil {
		t.Errorf("ignored: %+v", ignored)
	}
}

func TestValuesOfLists(t *testing.T) {
	t.Parallel()
	v := settings.NewValues(map[string]string{"snmp.version": "V1,v2c", "service_loglevel": "DEBUG"})
	if got := v.List(settings.KeySNMPVersion); !slices.Equal(got, []string{"v1", "v2c"}) {
		t.Errorf("versions %q", got)
	}
	if got := v.List(settings.KeySNMPTransports); !slices.Equal(got, []string{"udp", "udp6", "tcp", "tcp6"}) {
		t.Errorf("transports %q", got)
	}
	if level, stored := v.Text(settings.KeyLogLevel); level != "debug" || !stored {
		t.Errorf("a level that was stored as LibreNMS has it: %q, %t", level, stored)
	}
	if got := (settings.Values{}).List("no.such.key"); got != nil {
		t.Errorf("an unknown key: %q", got)
	}
}

func TestFollowersGetEveryLoad(t *testing.T) {
	t.Parallel()
	stored := map[string]string{"snmp.retries": "1"}
	var log strings.Builder
	live := settings.NewLive(func(context.Context) (map[string]string, error) { return stored, nil }, slog.New(slog.NewTextHandler(&log, nil)))
	var got []int
	live.Follow(func(v settings.Values) { got = append(got, v.Int(settings.KeySNMPRetries)) })
	for _, next := range []map[string]string{stored, nil, {"snmp.retries": "many", "gone": "1"}, {"snmp.retries": "many", "gone": "2"}, {"snmp.retries": "7"}} {
		stored = next
		if err := live.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int{5, 1, 5, 5, 5, 7}; !slices.Equal(got, want) {
		t.Errorf("the follower got %v, want %v", got, want)
	}
	if text := log.String(); strings.Count(text, "not in force") != 1 || !strings.Contains(text, "snmp.retries") || !strings.Contains(text, "gone") {
		t.Errorf("the log: %s", text)
	}
}

func TestLiveFollowsAndKeepsTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		stored, fail := map[string]string{"snmp.retries": "1"}, false
		database := func(now map[string]string, away bool) {
			mu.Lock()
			defer mu.Unlock()
			stored, fail = now, away
		}
		live := settings.NewLive(func(context.Context) (map[string]string, error) {
			mu.Lock()
			defer mu.Unlock()
			if fail {
				return nil, errors.New("away")
			}
			return stored, nil
		}, slog.New(slog.NewTextHandler(io.Discard, nil)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- live.Run(ctx) }()
		time.Sleep(10 * time.Second) // of the bubble's clock: nothing waits
		if got := live.Values().Int(settings.KeySNMPRetries); got != 1 {
			t.Errorf("after 10 s: %d", got)
		}
		database(nil, true)
		time.Sleep(10 * time.Second)
		if got := live.Values().Int(settings.KeySNMPRetries); got != 1 {
			t.Errorf("while they cannot be loaded: %d", got)
		}
		database(nil, false)
		time.Sleep(10 * time.Second)
		if got := live.Values().Int(settings.KeySNMPRetries); got != 5 {
			t.Errorf("after an unset: %d", got)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
