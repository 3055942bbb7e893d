package simulator

import (
	"crypto/cipher"
	"encoding/binary"
)

const saltSize = 8

// decrypt decrypts data in place (RFC 3414 section 8 for DES, RFC 3826 for AES).
func (p *privProtocol) decrypt(keys *localKeys, boots, seconds int64, salt, data []byte) bool {
	if len(salt) != saltSize {
		return false
	}
	if p.des {
		if len(data) == 0 || len(data)%8 != 0 {
			return false
		}
		cipher.NewCBCDecrypter(keys.block, desIV(keys, salt)).CryptBlocks(data, data)
		return true
	}
	cfb(keys.block, aesIV(boots, seconds, salt), data, false)
	return true
}

// encrypt encrypts data in place; for DES its length must be a multiple of 8.
func (p *privProtocol) encrypt(keys *localKeys, boots, seconds int64, salt, data []byte) {
	if p.des {
		cipher.NewCBCEncrypter(keys.block, desIV(keys, salt)).CryptBlocks(data, data)
		return
	}
	cfb(keys.block, aesIV(boots, seconds, salt), data, true)
}

func desIV(keys *localKeys, salt []byte) []byte {
	iv := make([]byte, saltSize)
	for i := range iv {
		iv[i] = keys.preIV[i] ^ salt[i]
	}
	return iv
}

func aesIV(boots, seconds int64, salt []byte) []byte {
	iv := make([]byte, 0, 16)
	iv = binary.BigEndian.AppendUint32(iv, uint32(boots))
	iv = binary.BigEndian.AppendUint32(iv, uint32(seconds))
	return append(iv, salt...)
}

// cfb is cipher feedback mode with whole blocks (CFB128, NIST SP 800-38A), in place.
// The one of crypto/cipher is deprecated, and SNMP has no other.
func cfb(block cipher.Block, register, data []byte, encrypting bool) {
	size := block.BlockSize()
	stream := make([]byte, size)
	for len(data) > 0 {
		block.Encrypt(stream, register)
		n := min(size, len(data))
		if !encrypting {
			copy(register, data[:n])
		}
		for i := range n {
			data[i] ^= stream[i]
		}
		if encrypting {
			copy(register, data[:n])
		}
		data = data[n:]
	}
}
