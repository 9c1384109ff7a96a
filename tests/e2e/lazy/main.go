// Lazy opens an eStargz layer through Longshore as a lazy puller does: it reads the footer and the table of contents
// first, then files here and there. It is its own upstream, which gives each connection a limited rate and counts.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"
)

const files = 64

func main() {
	log.SetFlags(0)
	listen := flag.String("upstream", "127.0.0.1:0", "address to listen on as the upstream registry")
	proxy := flag.String("proxy", "", "URL of the proxy that has it as its upstream")
	mib := flag.Int("mib", 256, "size of the layer")
	rate := flag.Int("rate", 20_000_000, "bytes a second of each connection to the upstream")
	within := flag.Duration("within", time.Second, "how much longer than upstream the proxy may take to open the layer")
	flag.Parse()

	contents := make(map[string][]byte)
	layer, tocDigest := build(*mib, contents)
	name := fmt.Sprintf("sha256:%x", sha256.Sum256(layer))
	upstream := &registry{layer: layer, digest: name, rate: *rate}
	listener, err := net.Listen("tcp", *listen)
	check(err)
	go func() { check(http.Serve(listener, upstream)) }()

	path := "/v2/e2e/lazy/blobs/" + name
	direct := visit("http://"+listener.Addr().String()+path, len(layer), tocDigest, contents)
	upstream.sent.Store(0)
	upstream.requests.Store(0)
	through := visit(*proxy+path, len(layer), tocDigest, contents)
	lazily := upstream.sent.Load()

	start := time.Now()
	body := get(*proxy+path, "")
	whole := time.Since(start)
	if !bytes.Equal(body, layer) {
		log.Fatal("the whole layer is wrong")
	}
	sent := upstream.sent.Load()
	fmt.Printf("layer of %d bytes, %d bytes/s a connection\n", len(layer), *rate)
	fmt.Printf("%-22s %12s %12s\n", "", "upstream", "proxy")
	for at, step := range direct {
		fmt.Printf("%-22s %12s %12s\n", step.name, step.took.Round(time.Millisecond), through[at].took.Round(time.Millisecond))
	}
	fmt.Printf("%-22s %12s %12s\n", "the rest", "", whole.Round(time.Millisecond))
	fmt.Printf("bytes from upstream: %d while it was read, %d in the end, %d requests\n", lazily, sent, upstream.requests.Load())
	if through[0].took > direct[0].took+*within {
		log.Fatalf("opening took %s", through[0].took)
	}
	// What the sockets hold when a connection is stopped may come again.
	if sent > int64(len(layer))+16<<20 {
		log.Fatalf("upstream sent %d bytes of %d", sent, len(layer))
	}
}

type step struct {
	name string
	took time.Duration
}

// visit opens the layer, lists it and reads three files of it.
func visit(url string, size int, tocDigest string, contents map[string][]byte) []step {
	var steps []step
	start := time.Now()
	done := func(name string) {
		steps = append(steps, step{name, time.Since(start)})
		start = time.Now()
	}
	layer, err := estargz.Open(io.NewSectionReader(remote(url), 0, int64(size)))
	check(err)
	done("open")
	if _, err := layer.VerifyTOC(digest.Digest(tocDigest)); err != nil {
		log.Fatal(err)
	}
	names := list(layer)
	if len(names) != files {
		log.Fatalf("%d files are listed, not %d", len(names), files)
	}
	done("list")
	for _, at := range []int{files - 1, 1, files / 2} {
		name := names[at]
		file, err := layer.OpenFile(name)
		check(err)
		read, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
		check(err)
		if !bytes.Equal(read, contents[name]) {
			log.Fatalf("%s is wrong", name)
		}
		done("read " + name)
	}
	return steps
}

func list(layer *estargz.Reader) []string {
	root, ok := layer.Lookup("")
	if !ok {
		log.Fatal("the layer has no root")
	}
	var names []string
	root.ForeachChild(func(name string, entry *estargz.TOCEntry) bool {
		if entry.Type == "reg" && strings.HasPrefix(name, "file") {
			names = append(names, name)
		}
		return true
	})
	sort.Strings(names)
	return names
}

// build makes a layer of random files.
func build(mib int, contents map[string][]byte) ([]byte, string) {
	random := rand.New(rand.NewSource(1))
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for at := range files {
		name := fmt.Sprintf("file%03d", at)
		content := make([]byte, mib<<20/files)
		random.Read(content)
		contents[name] = content
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}
		check(writer.WriteHeader(header))
		_, err := writer.Write(content)
		check(err)
	}
	check(writer.Close())
	section := io.NewSectionReader(bytes.NewReader(archive.Bytes()), 0, int64(archive.Len()))
	blob, err := estargz.Build(section, estargz.WithCompressionLevel(1))
	check(err)
	layer, err := io.ReadAll(blob)
	check(err)
	check(blob.Close())
	return layer, blob.TOCDigest().String()
}

// remote reads ranges of a blob.
type remote string

func (url remote) ReadAt(into []byte, at int64) (int, error) {
	read := get(string(url), fmt.Sprintf("bytes=%d-%d", at, at+int64(len(into))-1))
	n := copy(into, read)
	if n < len(into) {
		return n, io.EOF
	}
	return n, nil
}

func get(url, byteRange string) []byte {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	check(err)
	want := http.StatusOK
	if byteRange != "" {
		request.Header.Set("Range", byteRange)
		want = http.StatusPartialContent
	}
	response, err := http.DefaultClient.Do(request)
	check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(err)
	if response.StatusCode != want {
		log.Fatalf("%s %s: %s %s", url, byteRange, response.Status, body)
	}
	return body
}

// registry serves one blob, each connection at a limited rate.
type registry struct {
	layer          []byte
	digest         string
	rate           int
	sent, requests atomic.Int64
}

func (r *registry) ServeHTTP(to http.ResponseWriter, request *http.Request) {
	if !strings.HasSuffix(request.URL.Path, "/blobs/"+r.digest) {
		to.WriteHeader(http.StatusOK)
		return
	}
	r.requests.Add(1)
	to.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(&paced{to, r}, request, "", time.Time{}, bytes.NewReader(r.layer))
}

type paced struct {
	http.ResponseWriter
	registry *registry
}

// Write sends small pieces, so that no connection is ahead of its rate.
func (p *paced) Write(bytes []byte) (int, error) {
	const piece = 16 << 10
	for at := 0; at < len(bytes); at += piece {
		start := time.Now()
		n, err := p.ResponseWriter.Write(bytes[at:min(at+piece, len(bytes))])
		p.registry.sent.Add(int64(n))
		if err != nil {
			return at + n, err
		}
		time.Sleep(time.Duration(n)*time.Second/time.Duration(p.registry.rate) - time.Since(start))
	}
	return len(bytes), nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
