package object

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"chatcore/domain"
)

// maxPlain bounds the bytes of a compressed part of an object, in bytes, so that a hostile object cannot fill the memory.
const maxPlain = 256 << 20

// Codec encodes objects and decodes them. It is safe for concurrent use.
type Codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder

	maxPlain int
}

// NewCodec returns a codec. It needs no end.
func NewCodec() (*Codec, error) { return newCodec(maxPlain) }

func newCodec(maxPlain int) (*Codec, error) {
	// The sums of objects make those of zstd superfluous.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(uint64(maxPlain)))
	if err != nil {
		return nil, err
	}
	return &Codec{encoder: encoder, decoder: decoder, maxPlain: maxPlain}, nil
}

// compress returns what a writer has: the number of compressed bytes of the values, these, and the compressed ids. It returns a [*domain.InvalidError] for more
// than decompress accepts.
func (c *Codec) compress(w writer) ([]byte, error) {
	if size := max(len(w.b), len(w.ids)); size > c.maxPlain {
		return nil, &domain.InvalidError{Field: "object", Problem: fmt.Sprintf("has a part of %d bytes", size), Allowed: fmt.Sprintf("at most %d before compression", c.maxPlain)}
	}
	values := writer{}
	values.bytes(c.encoder.EncodeAll(w.b, nil))
	return c.encoder.EncodeAll(w.ids, values.b), nil
}

// decompress returns a reader of compressed bytes, as a part of an object.
func (c *Codec) decompress(name Name, compressed []byte) (*reader, error) {
	parts := &reader{rest: compressed}
	values, err := c.decoder.DecodeAll(parts.bytes(), nil)
	if err == nil {
		parts.ids, err = c.decoder.DecodeAll(parts.rest, nil)
	}
	if parts.wrong != "" {
		return nil, damaged(name, parts.wrong)
	}
	if err != nil {
		return nil, damaged(name, err.Error())
	}
	return &reader{rest: values, ids: parts.ids}, nil
}
