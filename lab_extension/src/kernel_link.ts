// One comm with the kernel of one notebook. We open it to a kernel that may know us; the kernel opens it on %load_ext.

import { ISessionContext } from '@jupyterlab/apputils';
import { Kernel } from '@jupyterlab/services';
import { ISignal, Signal } from '@lumino/signaling';

import { FromKernel, TARGET, ToKernel, VERSION } from './messages';

/** What to tell while no check can be made; empty when the kernel listens. */
export type Obstacle = string;

export const NO_KERNEL = 'no kernel: run %load_ext t2m_notebook';
const NOT_LOADED = 'no kernel: run %load_ext t2m_notebook in this one';
const RESTARTED = 'no kernel: it was restarted; run %load_ext t2m_notebook and the port again';
const ELSEWHERE = 'checked in the tab that opened this kernel first';

export class KernelLink {
  /** `wanted` says whether this notebook has to do with ports: other kernels are left in peace. */
  constructor(
    private readonly context: ISessionContext,
    private readonly wanted: () => boolean
  ) {
    context.kernelChanged.connect(this.adopt, this);
    context.statusChanged.connect(this.onStatus, this);
    void context.ready.then(() => this.adopt());
    this.adopt();
  }

  /** Why the kernel can't be asked; empty when it can. */
  get obstacle(): Obstacle {
    return this.comm && this.greeted ? '' : this.why;
  }

  get obstacleChanged(): ISignal<this, void> {
    return this.changed;
  }

  get received(): ISignal<this, FromKernel> {
    return this.messages;
  }

  /** Sends when there is a kernel that listens; gives whether it was sent. */
  send(message: ToKernel): boolean {
    if (!this.comm || this.comm.isDisposed) {
      return false;
    }
    try {
      this.comm.send(message as never);
      return true;
    } catch (error) {
      // The kernel connection was disposed between two messages; its status tells the rest.
      console.warn('t2m_notebook: the kernel could not be reached.', error);
      this.drop(NO_KERNEL);
      return false;
    }
  }

  dispose(): void {
    Signal.clearData(this);
    if (this.kernel && !this.kernel.isDisposed) {
      this.kernel.removeCommTarget(TARGET, this.onKernelOpen);
    }
    const { comm } = this;
    this.comm = null;
    if (comm && !comm.isDisposed) {
      comm.close(); // the kernel may go on without this notebook
    }
  }

  private adopt(): void {
    const kernel = this.context.session?.kernel ?? null;
    if (kernel === this.kernel) {
      return;
    }
    if (this.kernel && !this.kernel.isDisposed) {
      this.kernel.removeCommTarget(TARGET, this.onKernelOpen);
    }
    this.kernel = kernel;
    this.drop(NO_KERNEL);
    if (!kernel) {
      return;
    }
    if (!kernel.handleComms) {
      this.drop(ELSEWHERE);
      return;
    }
    kernel.registerCommTarget(TARGET, this.onKernelOpen);
    this.probed = false;
    this.probe();
  }

  /** Asks the kernel once whether it has loaded us; one that has not writes a line about it into its log. */
  probe(): void {
    const ready = this.kernel && !this.kernel.isDisposed && this.kernel.handleComms;
    if (!this.kernel || !ready || this.comm || this.probed || !this.wanted()) {
      return;
    }
    this.probed = true;
    const comm = this.kernel.createComm(TARGET);
    this.attach(comm);
    comm.open({ version: VERSION });
    this.send({ type: 'hello', version: VERSION });
  }

  private onKernelOpen = (comm: Kernel.IComm): void => {
    this.attach(comm);
    this.send({ type: 'hello', version: VERSION });
  };

  private attach(comm: Kernel.IComm): void {
    const old = this.comm;
    this.comm = comm;
    if (old && !old.isDisposed) {
      old.close(); // one comm for a page: %reload_ext opens another
    }
    this.greeted = false;
    comm.onMsg = message => {
      if (this.comm !== comm) {
        return;
      }
      const data = message.content.data as unknown as FromKernel;
      if (data.type === 'hello' && !this.greeted) {
        this.greeted = true;
        this.changed.emit();
      }
      this.messages.emit(data);
    };
    // A kernel that has not loaded us closes the comm at once: its target is not registered there.
    comm.onClose = () => {
      if (this.comm === comm) {
        this.drop(NOT_LOADED);
      }
    };
  }

  private onStatus(_: ISessionContext, status: Kernel.Status): void {
    if (status === 'restarting' || status === 'autorestarting' || status === 'dead') {
      this.restarted = status !== 'dead';
      this.drop(status === 'dead' ? NO_KERNEL : RESTARTED);
    } else if (status === 'idle' && this.restarted) {
      // A profile may load us when the kernel starts, before any cell was run.
      this.restarted = false;
      this.probed = false;
      this.probe();
    }
  }

  private drop(why: Obstacle): void {
    this.comm = null;
    this.greeted = false;
    // What a restart meant is more than that the new kernel has not loaded us.
    this.why = why === NOT_LOADED && this.why === RESTARTED ? RESTARTED : why;
    this.changed.emit();
  }

  private kernel: Kernel.IKernelConnection | null = null;
  private comm: Kernel.IComm | null = null;
  private greeted = false;
  private restarted = false;
  private probed = false;
  private why: Obstacle = NO_KERNEL;
  private readonly changed = new Signal<this, void>(this);
  private readonly messages = new Signal<this, FromKernel>(this);
}
