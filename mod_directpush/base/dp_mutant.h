/* dp_mutant: rules left out on purpose, in builds for tests only.
 *
 * With `configure --enable-mutants` the environment variable DP_MUTANT names
 * mutants of tests/model/mutants.def, separated by commas, of which a process
 * is made. It is read when the program or the module is loaded; a name that is
 * not there ends the process. In all other builds DP_MUTANT() is the constant
 * 0, and nothing of this is in the object files (tests/check/mutants).
 *
 * Where a rule is about the order of two things its mutant dawdles between them
 * as well, lest what happens there be as rare as it should be. Slowness breaks
 * no rule: DP_MUTANT=none dawdles at all these places, and leaves out none.
 */
#ifndef DP_MUTANT_H
#define DP_MUTANT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef DP_MUTANTS

#define DP_MUTANT_ITEM(name, model, place, paragraph, what) DP_MUTANT_##name,
#define DP_MUTANT_CODE_ONLY(name, place, paragraph, what, why) DP_MUTANT_##name,
#define DP_MUTANT_MODEL_ONLY(name, model, place, paragraph, what, why)
typedef enum dp_mutant {
#include "../../tests/model/mutants.def"
    DP_MUTANT_none,
    DP_MUTANTS_N
} dp_mutant;
#undef DP_MUTANT_ITEM
#undef DP_MUTANT_CODE_ONLY
#undef DP_MUTANT_MODEL_ONLY

/** Is this rule left out? Any thread. */
#define DP_MUTANT(name) (dp_mutant_is_active[DP_MUTANT_##name])
extern bool dp_mutant_is_active[DP_MUTANTS_N];

/** The `n`th of those that are active, for the log; NULL after the last. */
const char *dp_mutant_named(size_t n);

/** Dawdle now and then, as this mutant or as `none`. */
#define DP_MUTANT_WINDOW(name)                                                 \
    (DP_MUTANT(name) || DP_MUTANT(none) ? dp_mutant_dawdle() : (void)0)
void dp_mutant_dawdle(void);

#else

#define DP_MUTANT(name)        0
#define DP_MUTANT_WINDOW(name) ((void)0)
#define dp_mutant_named(n)     ((const char *)NULL)

#endif
#endif
