/* wbxml_second: libwbxml as a filter, for fuzz_second; a process of its own
 * since it may crash, hang or take all memory there is.
 *
 * In:  a document as four bytes of length (native order), then its bytes
 * Out: four bytes of length, then XML; 0xFFFFFFFF: it refused
 */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <wbxml/wbxml.h>

#define DOCUMENT_MAX (1 << 16)
#define MEMORY_MAX   ((rlim_t)1 << 30)
#define TURN_S       5

static int read_all(unsigned char *to, size_t n)
{
    while (n > 0) {
        ssize_t got = read(STDIN_FILENO, to, n);
        if (got <= 0) {
            return 0;
        }
        to += got;
        n -= (size_t)got;
    }
    return 1;
}

static int write_all(const void *from, size_t n)
{
    const unsigned char *at = from;
    while (n > 0) {
        ssize_t got = write(STDOUT_FILENO, at, n);
        if (got <= 0) {
            return 0;
        }
        at += got;
        n -= (size_t)got;
    }
    return 1;
}

static int decode(unsigned char *document, uint32_t n)
{
    WBXMLConvWBXML2XML *conv = NULL;
    WB_UTINY *xml = NULL;
    WB_ULONG xml_n = 0;
    uint32_t out_n = UINT32_MAX;
    if (wbxml_conv_wbxml2xml_create(&conv) == WBXML_OK) {
        wbxml_conv_wbxml2xml_set_gen_type(conv, WBXML_GEN_XML_COMPACT);
        wbxml_conv_wbxml2xml_set_language(conv, WBXML_LANG_ACTIVESYNC);
        wbxml_conv_wbxml2xml_enable_preserve_whitespaces(conv);
        if (wbxml_conv_wbxml2xml_run(conv, document, n, &xml, &xml_n)
            == WBXML_OK) {
            out_n = xml_n;
        }
        wbxml_conv_wbxml2xml_destroy(conv);
    }
    int is_written = write_all(&out_n, sizeof(out_n))
                     && (out_n == UINT32_MAX || write_all(xml, out_n));
    free(xml);
    return is_written;
}

int main(void)
{
    static unsigned char document[DOCUMENT_MAX];
    uint32_t n;
    setrlimit(RLIMIT_AS, &(struct rlimit){MEMORY_MAX, MEMORY_MAX});
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    while (read_all((unsigned char *)&n, sizeof(n))
           && n <= sizeof(document) && read_all(document, n)) {
        alarm(TURN_S); /* ends this process: it is taken for a crash */
        if (!decode(document, n)) {
            return 1;
        }
        alarm(0);
    }
    return 0;
}
