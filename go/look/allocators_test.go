package look

import (
	"testing"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// The page reads from the profile which functions only pass memory on: one list, for go tool pprof too.
func TestAllocatorsAreToldFromTheirCallers(t *testing.T) {
	if !capi.Supported {
		t.Skip("not supported here")
	}
	s, err := capi.Take()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Free()
	data, err := s.EncodeEach()
	if err != nil {
		t.Fatal(err)
	}
	p, err := profiledata.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	isAllocator := allocatorPattern(p.DropFrames)
	for _, name := range []string{"operator new(unsigned long)", "operator new[](unsigned long, std::nothrow_t const&)", "operator new", "xmalloc", "g_malloc0_n", "g_try_malloc",
		"CRYPTO_zalloc", "CRYPTO_malloc", "OPENSSL_realloc", "vips_tracked_malloc", "vips_tracked_aligned_alloc", "ZSTD_customMalloc", "ZSTD_customCalloc", "ts_malloc_default",
		"sqlite3DbMallocRawNN", "sqlite3MemMalloc", "mallocWithAlarm", "sqlite3_malloc64", "av_mallocz", "av_realloc_array", "png_malloc_warn", "xmlMallocLoc", "PyMem_RawMalloc", "uv__malloc",
		"apr_palloc", "apr_pcalloc", "xcalloc", "xrealloc", "x2nrealloc", "zmalloc", "emalloc", "g_slice_alloc0", "lj_realloc", "my_malloc_or_die", "nginx_memalign", "js_malloc_rt", "js_realloc2", "js_mallocz_rt",
		"dbReallocFinish", "dbMallocRawFinish", "AcquireMagickMemory", "AcquireAlignedMemory", "AcquireQuantumMemory", "ResizeQuantumMemory", "luaM_realloc_", "palloc0", "MemoryContextAllocZero",
		"v8::internal::Malloced::operator new(unsigned long)", "Node::operator new[](unsigned long)", "cv::fastMalloc(unsigned long)",
		"std::__new_allocator<char>::allocate(unsigned long, void const*)", "std::allocator_traits<std::allocator<int> >::allocate(std::allocator<int>&, unsigned long)",
		"__gnu_cxx::new_allocator<(anonymous namespace)::Node>::allocate(unsigned long, void const*)",
		"std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)", "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::_M_create(unsigned long&, unsigned long)",
		"std::_Vector_base<int, std::allocator<int> >::_Vector_base(unsigned long, std::allocator<int> const&)", "std::vector<int, std::allocator<int> >::_M_default_append(unsigned long)",
		"void std::vector<geos::geom::Coordinate, std::allocator<geos::geom::Coordinate> >::_M_realloc_insert<geos::geom::Coordinate const&>(__gnu_cxx::__normal_iterator<geos::geom::Coordinate*>, geos::geom::Coordinate const&)",
		"alloc::alloc::alloc", "<alloc::alloc::Global as core::alloc::Allocator>::allocate", "__rust_alloc", "alloc::raw_vec::finish_grow", "<alloc::raw_vec::RawVec<u8>>::grow_one", "__rustc::__rust_alloc",
	} {
		if !isAllocator(name) {
			t.Errorf("%s is not one", name)
		}
	}
	for _, name := range []string{"", "main.leak", "C.malloc", "C.CString", "main.(*Pool).malloc", "leveldb::DBImpl::NewIterator(leveldb::ReadOptions const&)", "strdup", "g_strdup", "ZSTD_createCCtx", "SSL_new",
		"reallocate_table", "AcquireImage", "ResizeImage", "dbMallocTest", "lua_newstate", "std::operator+(std::string const&)", "malloc_trim_thread", "parse_alloc_list", "leak", "node", "allocate_node", "std::vector<int, std::allocator<int> >::vector(unsigned long)", "void sort<int>(int*)", "std::vector<int, std::allocator<int> >::push_back(int const&)", "Arena::AllocateNewBlock(unsigned long)",
		"std::function<void ()>::operator()() const", "runtime.mallocgc", "alloc::vec::Vec<T,A>::push", "serde_json::from_str", "vips_image_new", "(anonymous namespace)::leak(int)", "xmlNewNode",
	} {
		if isAllocator(name) {
			t.Errorf("%s is none", name)
		}
	}
	if allocatorPattern("(")("x") || allocatorPattern("")("") {
		t.Error("a pattern that can't be read matches")
	}
}
