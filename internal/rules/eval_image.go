package rules

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// imageEvals look at attached images (SpamAssassin's ImageInfo).
var imageEvals = map[string]evalFunc{
	"image_count": {run: func(c *scan, r *Rule) bool {
		return r.inRange(float64(c.images().count[r.arg(0)]), 1, 2)
	}, check: need(2, 3)},
	"pixel_coverage": {run: func(c *scan, r *Rule) bool {
		return r.inRange(c.images().pixels[r.arg(0)], 1, 2)
	}, check: need(2, 3)},
	"image_to_text_ratio": {run: imageToText, check: need(3, 3)},
	"image_named":         {run: func(c *scan, r *Rule) bool { return c.images().names[r.arg(0)] }, check: need(1, 1)},
	"image_size_exact": {run: func(c *scan, r *Rule) bool {
		return c.images().sizes[r.arg(0)][fmt.Sprintf("%sx%s", r.arg(1), r.arg(2))] != [2]int{}
	}, check: need(3, 3)},
	"image_size_range": {run: imageSizeRange, check: need(3, 5)},
}

// inRange checks low <= x <= high.
func (r *Rule) inRange(x float64, low, high int) bool {
	return x >= r.num(low) && (r.unbounded(high) || x <= r.num(high))
}

// imageFacts are the images by type; "all" holds all types.
type imageFacts struct {
	count  map[string]int
	pixels map[string]float64
	sizes  map[string]map[string][2]int // "HxW" -> height, width
	names  map[string]bool
}

func (c *scan) images() *imageFacts {
	return remember(c.v, "images", func() *imageFacts {
		f := &imageFacts{count: map[string]int{}, pixels: map[string]float64{}, names: map[string]bool{}, sizes: map[string]map[string][2]int{}}
		for _, n := range c.v.leaves() {
			kind := strings.TrimPrefix(n.mediaType, "image/")
			if kind == "jpg" {
				kind = "jpeg"
			}
			if !strings.HasPrefix(n.mediaType, "image/") || kind != "gif" && kind != "png" && kind != "jpeg" ||
				strings.TrimSpace(strings.ToLower(n.header("content-transfer-encoding"))) != "base64" {
				continue
			}
			w, h := imageSize(kind, n.decode())
			for _, k := range []string{kind, "all"} {
				f.count[k]++
				if w <= 0 || h <= 0 {
					continue
				}
				f.pixels[k] += float64(w) * float64(h)
				if f.sizes[k] == nil {
					f.sizes[k] = map[string][2]int{}
				}
				f.sizes[k][fmt.Sprintf("%dx%d", h, w)] = [2]int{h, w}
			}
			if n.name != "" && w > 0 && h > 0 {
				f.names[n.name] = true
			}
		}
		return f
	})
}

// imageSize reads width and height out of the first bytes of an image; 0 if they are not there.
func imageSize(kind string, b []byte) (w, h int) {
	switch kind {
	case "gif":
		if len(b) >= 10 && (bytes.HasPrefix(b, []byte("GIF87a")) || bytes.HasPrefix(b, []byte("GIF89a"))) {
			return int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:]))
		}
	case "png":
		if len(b) >= 24 && bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")) && string(b[12:16]) == "IHDR" {
			return int(binary.BigEndian.Uint32(b[16:])), int(binary.BigEndian.Uint32(b[20:]))
		}
	case "jpeg":
		return jpegSize(b)
	}
	return 0, 0
}

func jpegSize(b []byte) (w, h int) {
	if !bytes.HasPrefix(b, []byte{0xff, 0xd8}) {
		return 0, 0
	}
	for at := 2; at+4 <= len(b) && b[at] == 0xff; {
		mark, length := b[at+1], int(binary.BigEndian.Uint16(b[at+2:]))
		if mark == 0xda || mark == 0xd9 || length < 2 {
			break
		}
		if mark >= 0xc0 && mark <= 0xcf && mark != 0xc4 && mark != 0xc8 && mark != 0xcc {
			if at+9 > len(b) {
				break
			}
			return int(binary.BigEndian.Uint16(b[at+7:])), int(binary.BigEndian.Uint16(b[at+5:]))
		}
		at += 2 + length
	}
	return 0, 0
}

func imageToText(c *scan, r *Rule) bool {
	length := 0
	texts := c.body
	if r.Target == RawBody.String() {
		texts = c.v.rawChunks
	}
	for _, text := range texts() {
		length += len(text)
	}
	pixels := c.images().pixels[r.arg(0)]
	if length == 0 || pixels <= 0 {
		return false
	}
	x := float64(length) / pixels
	return x >= r.num(1) && x < r.num(2)
}

func imageSizeRange(c *scan, r *Rule) bool {
	for _, s := range c.images().sizes[r.arg(0)] {
		h, w := float64(s[0]), float64(s[1])
		if h >= r.num(1) && w >= r.num(2) && (r.unbounded(3) || h <= r.num(3)) && (r.unbounded(4) || w <= r.num(4)) {
			return true
		}
	}
	return false
}
