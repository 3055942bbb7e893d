package secret

import (
	"slices"
	"strings"
)

// WithFormer is the key together with former ones, which it then opens with but
// never seals with. One that it has already is left out.
func (k Key) WithFormer(former ...Key) Key {
	all := slices.Clone(k.former)
	for _, one := range former {
		if _, has := (Key{id: k.id, former: all}).Named(one.id); !has {
			one.former = nil
			all = append(all, one)
		}
	}
	k.former = all
	return k
}

// Former are the former keys, each alone, in the order in which they were given.
func (k Key) Former() []Key { return slices.Clone(k.former) }

// IDs are the ids of the key and of its former ones, its own first.
func (k Key) IDs() []string {
	ids := []string{k.id}
	for _, one := range k.former {
		ids = append(ids, one.id)
	}
	return ids
}

// Named is the key, or the former one of it, with an id. It is alone: it knows no former ones.
func (k Key) Named(id string) (Key, bool) {
	if id != "" && id == k.id {
		return Key{master: k.master, id: id}, true
	}
	for _, one := range k.former {
		if one.id == id {
			return one, true
		}
	}
	return Key{}, false
}

// SealedWith is the id of the key that a value says it was sealed with; "" when it is no sealed value.
func SealedWith(sealed string) (id string) {
	rest, found := strings.CutPrefix(sealed, sealedPrefix)
	id, _, closed := strings.Cut(rest, ":")
	if !found || !closed || len(id) != idDigits {
		return ""
	}
	return id
}
