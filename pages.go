package membercard

import (
	"iter"
)

const defaultLimit = 20 // page size of the lists, the most that the service allows

// all iterates over the elements of pages. list returns one page from an offset on and how many elements there are in
// all, which is a hint: the end is an empty page, or a page that is not full where the total agrees. key tells elements
// apart. The first error ends it, and so does a page on which all was there before, unless the total is reached.
func all[T any](offset, limit int, list func(offset int) (page []T, total int, err error), key func(*T) string) iter.Seq2[*T, error] {
	if limit <= 0 {
		limit = defaultLimit
	}
	return func(yield func(*T, error) bool) {
		seen := map[string]bool{}
		for offset := offset; ; {
			page, total, err := list(offset)
			isNew := false
			for i := range page {
				k := key(&page[i])
				isNew = isNew || k == "" || !seen[k]
				seen[k] = true
			}
			switch {
			case err != nil:
			case len(page) == 0 || !isNew && total > 0 && offset >= total: // or one was added in front meanwhile
				return
			case !isNew:
				err = errSamePage
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page {
				if !yield(&page[i], nil) {
					return
				}
			}
			if offset += len(page); len(page) < limit && offset >= total {
				return
			}
		}
	}
}
