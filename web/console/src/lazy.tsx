import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ErrorNote, Loading, useTask } from "./ui";

type View = () => preact.JSX.Element;

/** lazy returns a page whose code is loaded when the page is shown first. */
export function lazy(load: () => Promise<View>): View {
  let loaded: View | undefined;
  return function Lazy() {
    const View = useSignal(loaded);
    const task = useTask();
    const find = () =>
      task.run(async () => {
        View.value = loaded = await load();
      });
    useEffect(() => {
      if (loaded === undefined) {
        find();
      }
    }, []);
    if (View.value !== undefined) {
      return <View.value />;
    }
    return task.error.value === undefined ? <Loading what="the page" /> : <ErrorNote error={task.error.value} onRetry={find} />;
  };
}
