package store

import (
	"fmt"

	"pollux/secret"
	"pollux/snmp"
)

// purpose is what the key of SNMP credentials is derived for.
const purpose = "snmp"

// sealedSecrets are the secrets of a device as they stand in its row.
type sealedSecrets struct {
	Community    string `bun:"community"`
	AuthPassword string `bun:"auth_password"`
	PrivPassword string `bun:"priv_password"`
}

// place binds a sealed secret to its row and column, so that it opens nowhere else.
func place(id int64, column string) string { return fmt.Sprintf("devices/%d/%s", id, column) }

func (s *Store) seal(id int64, c snmp.Credentials) (sealedSecrets, error) {
	var sealed sealedSecrets
	for _, one := range []struct {
		column string
		plain  secret.String
		to     *string
	}{
		{"community", c.Community, &sealed.Community},
		{"auth_password", c.AuthPassword, &sealed.AuthPassword},
		{"priv_password", c.PrivPassword, &sealed.PrivPassword},
	} {
		if one.plain.IsEmpty() {
			continue
		}
		text, err := s.key.Seal(purpose, place(id, one.column), one.plain)
		if err != nil {
			return sealedSecrets{}, fmt.Errorf("seal the %s of device %d: %w", one.column, id, err)
		}
		*one.to = text
	}
	return sealed, nil
}

// unseal fills in the secrets; secret.ErrOpen when one was moved, changed or made with another key.
func (s *Store) unseal(id int64, sealed sealedSecrets, c *snmp.Credentials) error {
	for _, one := range []struct {
		column string
		sealed string
		to     *secret.String
	}{
		{"community", sealed.Community, &c.Community},
		{"auth_password", sealed.AuthPassword, &c.AuthPassword},
		{"priv_password", sealed.PrivPassword, &c.PrivPassword},
	} {
		if one.sealed == "" {
			continue
		}
		plain, err := s.key.Open(purpose, place(id, one.column), one.sealed)
		if err != nil {
			return fmt.Errorf("open the %s of device %d: %w", one.column, id, err)
		}
		*one.to = plain
	}
	return nil
}
