/* model.h: what the models share.
 *
 * MUTANT is one name of mutants.def with M_ in front (spin -DMUTANT=M_…): the
 * rule that the model leaves out; M_none leaves out none. Without it the
 * compiled model is told by its number, in the environment: Spin counts mtypes
 * from the last to the first, so M_none is 1.
 */
#define DP_MUTANT_ITEM(name, model, place, paragraph, what) M_##name,
#define DP_MUTANT_MODEL_ONLY(name, model, place, paragraph, what, why) M_##name,
#define DP_MUTANT_CODE_ONLY(name, place, paragraph, what, why)
mtype = {
#include "mutants.def"
    M_none
};
#undef DP_MUTANT_ITEM
#undef DP_MUTANT_MODEL_ONLY
#undef DP_MUTANT_CODE_ONLY

#ifdef MUTANT
#define PICK_MUTANT skip
#else
/* the compiled model takes its number from the environment */
#define MUTANT mutant
byte mutant;
c_decl {
\#include <stdlib.h>
}
#define PICK_MUTANT c_code { now.mutant = atoi(getenv("MUTANT")); }
#endif
#define WITHOUT(name) (MUTANT == M_##name)
#define WITH(name)    (MUTANT != M_##name)

/* `watched_from` of a topic that nobody vouches for: DP_BUS_UNWATCHED */
#define UNWATCHED 255

#define MAX(a, b) ((a) > (b) -> (a) : (b))
