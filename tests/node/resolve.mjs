// Resolve: lets a script, wherever it stands, import the packages that `tests/node/install.py` installed.
//
// ES modules are looked for beside the script that imports them and NODE_PATH is not asked, while our packages are in the
// virtual environment. So a bare name that is imported by a script of ours is resolved as if that stood beside them.
import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

const home = pathToFileURL(`${process.env.TEST_NODE_HOME}/`).href;
const isBare = (specifier) => !/^(\.{0,2}\/|[a-z][a-z\d+.-]*:|#)/i.test(specifier);

registerHooks({
  resolve(specifier, context, next) {
    const isOurs = !context.parentURL?.includes("/node_modules/");
    return next(specifier, isBare(specifier) && isOurs ? { ...context, parentURL: home } : context);
  },
});
