package connect

import (
	"compress/gzip"
	"errors"
	"io"

	rpc "connectrpc.com/connect"
)

// gzipReader decompresses messages up to a bound. Its errors are those of the API: connect-go returns an error with a code as it is.
type gzipReader struct {
	gzip gzip.Reader
	most int64 // bytes of a message

	read   int64 // bytes of the message so far
	opened error // of the start of the message; a reader that has one cannot be closed
}

// Reset implements [rpc.Decompressor]. Read returns the error of a message that is no gzip: a code of an error of Reset would be lost.
func (g *gzipReader) Reset(from io.Reader) error {
	g.read, g.opened = 0, g.gzip.Reset(from)
	return nil
}

// Read implements [io.Reader].
func (g *gzipReader) Read(p []byte) (int, error) {
	n, err := g.gzip.Read(p)
	switch g.read += int64(n); {
	case g.read > g.most:
		return n, bodyTooLarge("more bytes once it is decompressed", g.most).coded()
	case err != nil && !errors.Is(err, io.EOF):
		return n, malformed("body", "is no gzip, or damaged", "gzip, as the header of its encoding names").coded()
	}
	return n, err
}

// Close implements [io.Closer].
func (g *gzipReader) Close() error {
	if g.opened != nil {
		return nil
	}
	return g.gzip.Close()
}

// readBound bounds the messages of a method, also after decompression.
func readBound(spec rpc.Spec) []rpc.HandlerOption {
	most := maxBodyOf(methodName(spec))
	return []rpc.HandlerOption{
		rpc.WithReadMaxBytes(int(most)),
		rpc.WithCompression(compressionGzip, nil, nil), // that of connect-go
		rpc.WithCompression(compressionGzip, func() rpc.Decompressor { return &gzipReader{most: most} }, func() rpc.Compressor { return gzip.NewWriter(io.Discard) }),
	}
}
