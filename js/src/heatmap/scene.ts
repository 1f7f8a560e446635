// What the parts of one view are given to work with, and on.
import type { AnyModel } from "../shared/model";
import type { SendGesture } from "./alone";
import type { Page } from "./page";
import type { Shown } from "./shown";
import type { Stage } from "./stage";

export interface Scene {
  model: AnyModel;
  shown: Shown;
  page: Page;
  stage: Stage;
  gesture: SendGesture;
  /** Asks for a drawing of everything, one animation frame later. */
  schedule(): void;
  /** Ends with the view. */
  signal: AbortSignal;
}
