package cluster

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"pollux/config"
	"pollux/secret"
)

// said makes views of what Sentinels answered; "" is one that did not.
func said(masters ...string) (views []SentinelView) {
	for _, master := range masters {
		view := SentinelView{Address: "s:1", Master: master}
		if master == "" {
			view.Err = errors.New("sentinel: no answer for s3cret")
		}
		views = append(views, view)
	}
	return views
}

func TestMajorityOfTheConfiguredSentinels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		configured int
		said       []string // by those heard so far
		want       string   // "" for nobody
	}{
		{1, []string{"a"}, "a"},
		{1, []string{""}, ""},
		{2, []string{"a"}, ""}, // the other one is still to be heard
		{2, []string{"a", ""}, "a"},
		{2, []string{"", "a"}, "a"},
		{2, []string{"a", "b"}, ""},
		{2, []string{"", ""}, ""},
		{3, []string{"a"}, ""},
		{3, []string{"a", "a"}, "a"}, // whatever the third one says
		{3, []string{"a", "b"}, ""},
		{3, []string{"a", "b", "b"}, "b"},
		{3, []string{"a", "", ""}, ""},
		{3, []string{"a", "b", "c"}, ""},
		{4, []string{"a", "a", "b", "b"}, ""},
		{4, []string{"a", "a", "", ""}, ""},
		{4, []string{"a", "a", "a"}, "a"},
		{5, []string{"b", "a", "b", "", "b"}, "b"},
		{5, []string{"b", "", "b", "", ""}, ""},
	} {
		if got, agreed := majority(said(c.said...), c.configured); got != c.want || agreed != (c.want != "") {
			t.Errorf("%d Sentinels of which some say %q: %q, %t; want %q", c.configured, c.said, got, agreed, c.want)
		}
	}
}

func TestNoMajoritySaysWhoSaidWhat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		said []string
		want string
	}{
		{[]string{"a:1", "", ""}, "1 of 3 Sentinels answered, 2 must agree on the master of main (s:1 names a:1; s:1: sentinel: no answer for [redacted]; "},
		{[]string{"a:1", "b:1"}, "2 of 2 Sentinels answered, they must agree on the master of main (s:1 names a:1; s:1 names b:1); check that they run"},
		{[]string{"", ""}, "0 of 2 Sentinels answered, one must name the master of main ("},
		{[]string{""}, "0 of 1 Sentinels answered, one must name the master of main ("},
	} {
		err := &noMajorityError{views: said(c.said...), config: config.Redis{
			Sentinels: make([]string, len(c.said)), SentinelService: "main", SentinelPassword: secret.New("s3cret"),
		}}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q says %q, want %q", c.said, err, c.want)
		}
	}
}

// TestAMasterThatWasAwayIsDialledAgain: while too few Sentinels answer, whom they agreed on last is not given up for one failed dial.
func TestAMasterThatWasAwayIsDialledAgain(t *testing.T) {
	t.Parallel()
	c := config.Redis{Sentinels: []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}, SentinelService: "mymaster"}
	dialer, err := newDialer(c)
	if err != nil {
		t.Fatal(err)
	}
	f := newFollower(c, dialer, slog.New(slog.DiscardHandler))
	defer f.close()
	set := func(master string, failed, doubted bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.master, f.failed, f.doubted = master, failed, doubted
	}
	set("127.0.0.1:7", true, false)
	if master, err := f.current(t.Context()); err != nil || master != "127.0.0.1:7" {
		t.Errorf("after a failed dial it follows %q, %v", master, err)
	}
	set("127.0.0.1:7", true, true)
	if master, err := f.current(t.Context()); err == nil {
		t.Errorf("a master that refused writes is followed: %s", master)
	}
}
