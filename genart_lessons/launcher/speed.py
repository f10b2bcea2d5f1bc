"""How fast this machine trains, in one number: what a measured time is scaled by."""

import time


def measure(seconds: float = 0.8) -> float:
    """Training steps a second of a small convolutional network on the course's device.

    One thread, and the quickest quarter of the steps: so it says the same on a busy machine.
    """
    import torch
    from torch import nn

    from genart_lessons import runtime

    device = runtime.device()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 8 * 8, 64),
        ).to(device)  # fmt: skip
        x = torch.rand(64, 1, 32, 32, device=device)
    optimizer = torch.optim.Adam(net.parameters())
    took: list[float] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(took) < 4:
        begin = time.perf_counter()
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        optimizer.step()
        loss.item()  # waits for a GPU
        took.append(time.perf_counter() - begin)
    torch.set_num_threads(threads)
    best = sorted(took[1:])[: max(1, len(took) // 4)]
    return len(best) / sum(best)
