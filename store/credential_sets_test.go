package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/secret"
	"pollux/snmp"
)

var setBehaviours = []behaviour{
	{"a credential set comes back as it was added", setRoundTrip},
	{"credential sets are listed in their order", setOrder},
	{"a credential set that cannot be right is refused", setRefused},
	{"the secrets of a credential set open nowhere else", setSecrets},
	{"a removed poller group is taken out of credential sets", setUnbound},
}

func v2Set(name string) device.CredentialSet {
	return device.CredentialSet{Name: name, Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("canary of " + name)}}
}

func v3Set(name string) device.CredentialSet {
	return device.CredentialSet{Name: name, Credentials: v3Device().Credentials}
}

func addSet(t testing.TB, s *Store, c device.CredentialSet) device.CredentialSet {
	t.Helper()
	added, err := s.AddCredentialSet(t.Context(), c, "alice")
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func setRoundTrip(t *testing.T, e engine) {
	group := addGroup(t, e, "of the round trip")
	want := v3Set("round-trip")
	want.Order, want.Groups = 7, []int64{0, group.ID}
	began := time.Now().Truncate(time.Millisecond)
	added := addSet(t, e.Store, want)
	if added.ID == 0 || added.ChangedAt.Before(began) {
		t.Errorf("added %+v", added)
	}
	want.ID, want.ChangedAt = added.ID, added.ChangedAt
	sameSet := func(what string, got device.CredentialSet, err error) {
		t.Helper()
		if err != nil || !got.Credentials.AuthPassword.Equal(want.Credentials.AuthPassword) || !got.Credentials.PrivPassword.Equal(want.Credentials.PrivPassword) {
			t.Errorf("%s: the secrets differ, %v", what, err)
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
		}
	}
	sameSet("added", added, nil)
	got, err := e.CredentialSet(t.Context(), "round-trip")
	sameSet("read", got, err)
	changed, err := e.UpdateCredentialSet(t.Context(), "round-trip", func(c *device.CredentialSet) error {
		c.Name, c.Groups, c.Credentials.PrivPassword = "round-again", nil, secret.New("canary-another")
		return nil
	}, "bob")
	want.Name, want.Groups, want.Credentials.PrivPassword, want.ChangedAt = "round-again", nil, secret.New("canary-another"), changed.ChangedAt
	sameSet("changed", changed, err)
	got, err = e.CredentialSet(t.Context(), "round-again")
	sameSet("read again", got, err)
	if _, err := e.CredentialSet(t.Context(), "round-trip"); !errors.Is(err, ErrNotFound) {
		t.Errorf("under its old name: %v", err)
	}
	if err := e.RemoveCredentialSet(t.Context(), "round-again", "carol"); err != nil {
		t.Fatal(err)
	}
	if err := e.RemoveCredentialSet(t.Context(), "round-again", "carol"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	events, err := e.Events(t.Context(), EventFilter{Type: "credential"})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, event := range slices.Backward(events) {
		if strings.Contains(event.Message, "canary") || strings.Contains(event.Message, "v1:") {
			t.Errorf("an event holds a secret: %s", event.Message)
		}
		if strings.Contains(event.Message, "round-") {
			told = append(told, event.Actor+": "+event.Message)
		}
	}
	same(t, "events", told, []string{
		"alice: credential set round-trip (v3) was added", "bob: credential set round-trip was changed, and is called round-again", "carol: credential set round-again was removed",
	})
}

func setOrder(t *testing.T, e engine) {
	for _, c := range []struct {
		name  string
		order int
	}{{"order-z", 900_010}, {"order-b", 900_000}, {"order-a", 900_000}, {"order-last", 0}} {
		set := v2Set(c.name)
		set.Order = c.order
		if added := addSet(t, e.Store, set); c.order == 0 && added.Order < 900_020 {
			t.Errorf("a set without an order gets %d", added.Order)
		}
	}
	all, err := e.CredentialSets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, set := range all {
		if strings.HasPrefix(set.Name, "order-") {
			got = append(got, set.Name)
			if set.Credentials.Community.Reveal() != "canary of "+set.Name || set.Groups != nil || set.Lost {
				t.Errorf("%+v", set)
			}
		}
	}
	same(t, "sets", got, []string{"order-a", "order-b", "order-z", "order-last"})
}

func setRefused(t *testing.T, e engine) {
	addSet(t, e.Store, v2Set("taken"))
	for name, c := range map[string]struct {
		spoil func(*device.CredentialSet)
		want  error
	}{
		"no name":       {func(c *device.CredentialSet) { c.Name = "" }, ErrInvalid},
		"a blank":       {func(c *device.CredentialSet) { c.Name = "a b" }, ErrInvalid},
		"a dash first":  {func(c *device.CredentialSet) { c.Name = "-a" }, ErrInvalid},
		"a NUL":         {func(c *device.CredentialSet) { c.Name = "a\x00" }, ErrInvalid},
		"long":          {func(c *device.CredentialSet) { c.Name = strings.Repeat("a", 65) }, ErrInvalid},
		"taken":         {func(c *device.CredentialSet) { c.Name = "taken" }, ErrDuplicate},
		"negative":      {func(c *device.CredentialSet) { c.Order = -1 }, ErrInvalid},
		"far away":      {func(c *device.CredentialSet) { c.Order = maxOrder + 1 }, ErrInvalid},
		"no community":  {func(c *device.CredentialSet) { c.Credentials.Community = secret.String{} }, ErrInvalid},
		"no version":    {func(c *device.CredentialSet) { c.Credentials.Version = "" }, ErrInvalid},
		"unknown group": {func(c *device.CredentialSet) { c.Groups = []int64{4711} }, ErrNotFound},
	} {
		set := v2Set("refused")
		c.spoil(&set)
		_, err := e.AddCredentialSet(t.Context(), set, "alice")
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, name := range []string{"", "nobody", "a\x00b", "x' OR '1'='1"} {
		if _, err := e.CredentialSet(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("set %q: %v", name, err)
		}
		if err := e.RemoveCredentialSet(t.Context(), name, "alice"); !errors.Is(err, ErrNotFound) {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	stop := errors.New("thought again")
	if _, err := e.UpdateCredentialSet(t.Context(), "taken", func(*device.CredentialSet) error { return stop }, "alice"); !errors.Is(err, stop) {
		t.Errorf("a change that fails: %v", err)
	}
}

func setSecrets(t *testing.T, e engine) {
	one, two := addSet(t, e.Store, v3Set("secret-one")), addSet(t, e.Store, v3Set("secret-two"))
	d, err := e.AddDevice(t.Context(), v3Device())
	if err != nil {
		t.Fatal(err)
	}
	column := func(table string, id int64, name string) (text string) {
		if err := e.db.NewSelect().Table(table).Column(name).Where("id = ?", id).Scan(t.Context(), &text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	kept := column("credential_sets", one.ID, "auth_password")
	if !strings.HasPrefix(kept, "v1:"+e.key.ID()+":") {
		t.Fatalf("stored as %q", kept)
	}
	for what, value := range map[string]string{
		"of another set": column("credential_sets", two.ID, "auth_password"), "of a device": column("devices", d.ID, "auth_password"),
		"of another column": column("credential_sets", one.ID, "priv_password"), "plain": "canary-auth",
	} {
		if _, err := e.db.NewUpdate().Table("credential_sets").Set("? = ?", bun.Ident("auth_password"), value).Where("id = ?", one.ID).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := e.CredentialSet(t.Context(), "secret-one")
		if !errors.Is(err, secret.ErrOpen) || !got.Lost || !got.Credentials.AuthPassword.IsEmpty() || !strings.Contains(err.Error(), "pollux credential set") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	all, err := e.CredentialSets(t.Context())
	if i := slices.IndexFunc(all, func(c device.CredentialSet) bool { return c.Name == "secret-one" }); err != nil || i < 0 || !all[i].Lost {
		t.Errorf("listed: %v", err)
	}
	rename := func(auth secret.String) error {
		_, err := e.UpdateCredentialSet(t.Context(), "secret-one", func(c *device.CredentialSet) error {
			c.Order = 5
			if !auth.IsEmpty() {
				c.Credentials.AuthPassword = auth
			}
			return nil
		}, "alice")
		return err
	}
	if err := rename(secret.String{}); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("changed without a new secret: %v", err)
	}
	if err := rename(secret.New("canary-new-auth")); err != nil {
		t.Errorf("changed with a new secret: %v", err)
	}
}

func setUnbound(t *testing.T, e engine) {
	gone, stays := addGroup(t, e, "sets of it go"), addGroup(t, e, "sets of it stay")
	for name, groups := range map[string][]int64{"unbound-all": nil, "unbound-one": {gone.ID}, "unbound-two": {gone.ID, stays.ID}, "unbound-other": {stays.ID}} {
		set := v2Set(name)
		set.Groups = groups
		addSet(t, e.Store, set)
	}
	if _, err := e.RemoveGroup(t.Context(), gone.ID, "alice"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]int64{"unbound-all": nil, "unbound-one": {}, "unbound-two": {stays.ID}, "unbound-other": {stays.ID}} {
		got, err := e.CredentialSet(t.Context(), name)
		if err != nil || !slices.Equal(got.Groups, want) || (got.Groups == nil) != (want == nil) {
			t.Errorf("%s is for %v, %v, want %v", name, got.Groups, err, want)
		}
		if name == "unbound-one" && (got.Serves(0) || got.Serves(gone.ID)) || name == "unbound-all" && !got.Serves(stays.ID) {
			t.Errorf("%s serves other groups than it should", name)
		}
	}
}

func TestCredentialSetsAreBounded(t *testing.T) {
	t.Parallel()
	e := openEngine(t, databases()["sqlite"](t))
	for i := range maxSets {
		addSet(t, e.Store, v2Set(fmt.Sprintf("set-%d", i)))
	}
	if _, err := e.AddCredentialSet(t.Context(), v2Set("more"), "alice"); !errors.Is(err, ErrInvalid) {
		t.Errorf("one too many: %v", err)
	}
	if all, err := e.CredentialSets(t.Context()); err != nil || len(all) != maxSets {
		t.Errorf("%d sets, %v", len(all), err)
	}
}
