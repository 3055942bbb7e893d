package secret_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pollux/secret"
)

func TestStringNeverPrintsItself(t *testing.T) {
	t.Parallel()
	s := secret.New("canary")
	inside := struct {
		Community secret.String
		hidden    secret.String
	}{s, s}
	encoded, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "in", inside)
	for _, text := range []string{
		s.String(), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", inside, inside, inside, s, s, s), string(encoded), log.String(),
	} {
		if strings.Contains(text, "canary") || strings.Contains(text, fmt.Sprintf("%x", "canary")) {
			t.Errorf("the value shows: %s", text)
		}
	}
	if s.Reveal() != "canary" {
		t.Error("Reveal does not return the value")
	}
}

func newKey(t *testing.T) secret.Key {
	t.Helper()
	text, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := secret.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSealOpens(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	sealed, err := key.Seal("snmp", "devices/1/community", secret.New("public"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(sealed, "public") {
		t.Fatal("the sealed text holds the plain one")
	}
	plain, err := key.Open("snmp", "devices/1/community", sealed)
	if err != nil || plain.Reveal() != "public" {
		t.Fatalf("opened %q, %v", plain.Reveal(), err)
	}
}

func TestSealedValueIsBoundToKeyPurposePlaceAndContent(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	sealed, err := key.Seal("snmp", "devices/1/community", secret.New("public"))
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (secret.String, error){
		"another key":     func() (secret.String, error) { return newKey(t).Open("snmp", "devices/1/community", sealed) },
		"another purpose": func() (secret.String, error) { return key.Open("web", "devices/1/community", sealed) },
		"another row":     func() (secret.String, error) { return key.Open("snmp", "devices/2/community", sealed) },
		"cut":             func() (secret.String, error) { return key.Open("snmp", "devices/1/community", sealed[:20]) },
		"plain text":      func() (secret.String, error) { return key.Open("snmp", "devices/1/community", "public") },
	} {
		if got, err := open(); !errors.Is(err, secret.ErrOpen) || !got.IsEmpty() {
			t.Errorf("%s: got %q, %v", name, got.Reveal(), err)
		}
	}
}

// All bits count: those of the prefix, of the key's id, and the spare ones of the last character.
func TestNoBitOfASealedValueCanChange(t *testing.T) {
	t.Parallel()
	key := newKey(t).WithFormer(newKey(t))
	for _, plain := range []string{"p", "pu", "pub", "public"} { // so that the last character has 0, 2 or 4 spare bits
		sealed, err := key.Seal("snmp", "devices/1/community", secret.New(plain))
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(sealed) {
			changed := []byte(sealed)
			changed[bit/8] ^= 1 << (bit % 8)
			if got, err := key.Open("snmp", "devices/1/community", string(changed)); !errors.Is(err, secret.ErrOpen) || !got.IsEmpty() {
				t.Errorf("%q opens with bit %d of %q changed: %v", plain, bit, sealed, err)
			}
		}
	}
}

func TestFormerKeysOpenAndDoNotSeal(t *testing.T) {
	t.Parallel()
	one, two, three := newKey(t), newKey(t), newKey(t)
	sealed := map[string]string{}
	for _, key := range []secret.Key{one, two, three} {
		text, err := key.Seal("snmp", "devices/1/community", secret.New("public"))
		if err != nil {
			t.Fatal(err)
		}
		if secret.SealedWith(text) != key.ID() {
			t.Errorf("%s does not name the key %s", text, key.ID())
		}
		sealed[key.ID()] = text
	}
	both := three.WithFormer(two, three, two).WithFormer(one, two)
	if ids := both.IDs(); !slices.Equal(ids, []string{three.ID(), two.ID(), one.ID()}) {
		t.Errorf("the keys are %v", ids)
	}
	if both.ID() != three.ID() || !both.Text().Equal(three.Text()) || len(three.IDs()) != 1 {
		t.Error("former keys change the key itself")
	}
	for id, text := range sealed {
		if plain, err := both.Open("snmp", "devices/1/community", text); err != nil || plain.Reveal() != "public" {
			t.Errorf("what %s sealed: %v", id, err)
		}
		if _, err := both.Open("snmp", "devices/2/community", text); !errors.Is(err, secret.ErrOpen) {
			t.Errorf("what %s sealed for another row: %v", id, err)
		}
		alone, found := both.Named(id)
		if !found || alone.ID() != id || len(alone.IDs()) != 1 {
			t.Errorf("the key named %s is %v, %t", id, alone.IDs(), found)
		}
		for other, text := range sealed {
			if _, err := alone.Open("snmp", "devices/1/community", text); (err == nil) != (other == id) {
				t.Errorf("%s alone opens what %s sealed: %v", id, other, err)
			}
		}
	}
	again, err := both.Seal("snmp", "devices/1/community", secret.New("public"))
	if err != nil || secret.SealedWith(again) != three.ID() {
		t.Errorf("sealed with %s, %v", secret.SealedWith(again), err)
	}
	if _, found := both.Named(newKey(t).ID()); found {
		t.Error("a key is found that is not there")
	}
	if _, found := (secret.Key{}).Named(""); found {
		t.Error("no key is found under no name")
	}
	for _, text := range []string{"", "public", "v1:", "v1:0123456:x", "v2:01234567:x", "v1:01234567"} {
		if id := secret.SealedWith(text); id != "" {
			t.Errorf("%q was sealed with %q", text, id)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	t.Parallel()
	of := func(raw string) string { return "base64:" + base64.StdEncoding.EncodeToString([]byte(raw)) }
	random := newKey(t).Text().Reveal()
	for _, text := range []string{
		"", "base64:", "base64:AAAA", "hunter2", "base64:not base64 at all", of(strings.Repeat("\x00", 32)),
		of(strings.Repeat("abcd", 8)), of(strings.Repeat("canary", 5)), of(strings.Repeat("0123456789", 4)), of("sixteen byte key"),
		strings.TrimPrefix(random, "base64:"), random[:len(random)-4], random + "AAAA", "hex:" + strings.Repeat("a5", 32),
	} {
		_, err := secret.ParseKey(secret.New(text))
		if !errors.Is(err, secret.ErrKey) {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if _, encoded, found := strings.Cut(text, "base64:"); found && len(encoded) > 4 && strings.Contains(err.Error(), encoded) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestCheckValueTellsKeysApart(t *testing.T) {
	t.Parallel()
	one, err := newKey(t).CheckValue()
	if err != nil {
		t.Fatal(err)
	}
	two, err := newKey(t).CheckValue()
	if err != nil {
		t.Fatal(err)
	}
	if one == two || len(one) != 32 {
		t.Errorf("check values %s and %s", one, two)
	}
}
